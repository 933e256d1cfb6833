//! Draws the README's picture from a real run:
//!
//! ```text
//! cargo boot --smp 16 --json | cargo run --package boot --example picture > docs/storm.svg
//! ```
//!
//! Reads the result of `cargo boot --json` on standard input, writes SVG on standard output.

use std::{error::Error, io};

use plotters::prelude::*;
use protocol::storm::{CpuLine, Totals, VARIANTS};
use serde::Deserialize;

/// The part of the document that the picture shows.
#[derive(Deserialize)]
struct Document {
    machine: String,
    accel: String,
    storm: Storm,
}

#[derive(Deserialize)]
struct Storm {
    totals: Totals,
    cpus: Vec<CpuLine>,
}

const COLOURS: [RGBColor; VARIANTS.len()] =
    [RGBColor(0xd9, 0x8a, 0x2b), RGBColor(0x2a, 0x6f, 0xb0), RGBColor(0x3a, 0x9a, 0x5b)];
/// Of the place of one CPU.
const BAR: f64 = 0.76 / VARIANTS.len() as f64;

fn main() -> Result<(), Box<dyn Error>> {
    let Document { machine, accel, storm } = serde_json::from_reader(io::stdin())?;
    let Storm { totals, cpus } = storm;
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (900, 420)).into_drawing_area();
    // Thousands of grants per second in which the variant was in use.
    let rate = |cpu: &CpuLine, variant: usize| {
        cpu.grants[variant] as f64 / totals.variants[variant].busy_ms.max(1) as f64
    };
    let bars = |cpu| (0..VARIANTS.len()).map(move |variant| rate(cpu, variant));
    let highest = cpus.iter().flat_map(bars).fold(1.0, f64::max);

    area.fill(&WHITE)?;
    let title = format!(
        "{} CPUs use an object while it is torn down {} times: {} violations",
        totals.cpus,
        totals.sum(|lane| lane.teardowns),
        totals.violations(),
    );
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..cpus.len() as f64, 0.0..highest * 1.25)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(format!("CPU index (QEMU {machine}, {accel})"))
        .y_desc("thousand grants per second")
        .x_labels(cpus.len().min(17) + 1)
        // A label stands under the middle of its bars.
        .x_label_offset(400 / cpus.len().max(1) as i32)
        .x_label_formatter(&|x| {
            if *x < cpus.len() as f64 { format!("{x:.0}") } else { String::new() }
        })
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;

    for (variant, (name, colour)) in VARIANTS.into_iter().zip(COLOURS).enumerate() {
        let per_second = totals.variants[variant].grants_per_second() as f64;
        let label = format!("{name}: {:.1} M grants/s", per_second / 1e6);
        chart
            .draw_series(cpus.iter().enumerate().map(|(place, cpu)| {
                let left = place as f64 + 0.12 + BAR * variant as f64;
                let corners = [(left, 0.0), (left + BAR, rate(cpu, variant))];
                Rectangle::new(corners, colour.filled())
            }))?
            .label(label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 15))
        .draw()?;
    area.present()?;
    drop((chart, area));
    println!("{svg}");
    Ok(())
}
