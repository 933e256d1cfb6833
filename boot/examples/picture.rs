//! Draws the README's picture from a real run:
//!
//! ```text
//! cargo boot --smp 16 --json | cargo run --package boot --example picture > docs/storm.svg
//! ```
//!
//! Reads the result of `cargo boot --json` on standard input, writes SVG on standard output.

use std::{error::Error, io};

use plotters::prelude::*;
use protocol::storm::{CpuLine, Totals};
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

const CACHE_AWARE: RGBColor = RGBColor(0x2a, 0x6f, 0xb0);
const PLAIN: RGBColor = RGBColor(0xd9, 0x8a, 0x2b);

fn main() -> Result<(), Box<dyn Error>> {
    let document: Document = serde_json::from_reader(io::stdin())?;
    let mut svg = String::new();
    draw(
        &document,
        SVGBackend::with_string(&mut svg, (900, 420)).into_drawing_area(),
    )?;
    println!("{svg}");
    Ok(())
}

fn draw(
    Document {
        machine,
        accel,
        storm,
    }: &Document,
    area: DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), Box<dyn Error>> {
    let Storm { totals, cpus } = storm;
    let (cache_aware, plain) = (&totals.cache_aware, &totals.plain);
    // Thousands of grants per second in which the variant was in use.
    let rate = |grants: u64, busy_ms: u64| grants as f64 / busy_ms.max(1) as f64;
    let bars = |cpu: &CpuLine| {
        [
            rate(cpu.grants, cache_aware.busy_ms),
            rate(cpu.plain_grants, plain.busy_ms),
        ]
    };
    let highest = cpus.iter().flat_map(bars).fold(1.0, f64::max);

    area.fill(&WHITE)?;
    let title = format!(
        "{} CPUs use an object while it is torn down {} times: {} violations",
        totals.cpus,
        cache_aware.teardowns + plain.teardowns,
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
            if *x < cpus.len() as f64 {
                format!("{x:.0}")
            } else {
                String::new()
            }
        })
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;

    let series = [
        (
            CACHE_AWARE,
            format!(
                "cache-aware: {:.1} M grants/s",
                cache_aware.grants_per_second() as f64 / 1e6
            ),
        ),
        (
            PLAIN,
            format!(
                "plain: {:.1} M grants/s",
                plain.grants_per_second() as f64 / 1e6
            ),
        ),
    ];
    for (variant, (colour, label)) in series.into_iter().enumerate() {
        chart
            .draw_series(cpus.iter().enumerate().map(|(place, cpu)| {
                let left = place as f64 + 0.12 + 0.38 * variant as f64;
                Rectangle::new(
                    [(left, 0.0), (left + 0.38, bars(cpu)[variant])],
                    colour.filled(),
                )
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
    Ok(())
}
