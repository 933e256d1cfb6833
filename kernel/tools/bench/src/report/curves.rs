//! Teardowns as a picture: a curve for each kind over the number of slots, both axes logarithmic.

use plotters::prelude::*;

use super::Report;
use crate::teardown::{SLOTS, Teardown};

const SIZE: (u32, u32) = (900, 460);
/// Where the machine is told, below the curves.
const FOOT: i32 = 50;

/// Above the highest curve, for the names: so many times its value.
const ROOM: f64 = 100.0;

/// For an idle object, and for one in use.
const COLOURS: [(RGBColor, RGBColor); 5] = [
    (RGBColor(0x2a, 0x6f, 0xb0), RGBColor(0x9c, 0xc1, 0xe2)),
    (RGBColor(0x3b, 0x8a, 0x4d), RGBColor(0xa9, 0xd3, 0xb2)),
    (RGBColor(0x8a, 0x4f, 0xa3), RGBColor(0xd2, 0xb3, 0xde)),
    (RGBColor(0x6b, 0x6b, 0x6b), RGBColor(0xc4, 0xc4, 0xc4)),
    (RGBColor(0xd9, 0x8a, 0x2b), RGBColor(0xf0, 0xcd, 0x9c)),
];

/// An SVG picture of the teardowns, idle and under load.
///
/// # Errors
/// If it cannot be drawn.
pub fn teardown_svg(report: &Report) -> anyhow::Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    draw(report, &area).map_err(|error| anyhow::anyhow!("{error}"))?;
    drop(area);
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(report: &Report, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(SIZE.1 as i32 - FOOT);
    let ns = |line: &Teardown| line.ns.median.max(1.0);
    let longest = report.teardowns.iter().map(ns).fold(10.0, f64::max);
    let slots = (SLOTS[0] as f64..SLOTS[SLOTS.len() - 1] as f64).log_scale();
    let mut chart = ChartBuilder::on(&above)
        .caption(
            "Closing and draining one object, ns; light: while all other CPUs use it",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(slots.base(2.0), (1.0..longest * ROOM).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("slots")
        .x_label_formatter(&|slots| format!("{slots:.0}"))
        .y_label_formatter(&|ns| format!("{ns:.0}"))
        .draw()?;

    let mut kinds: Vec<&str> = Vec::new();
    for line in &report.teardowns {
        if !kinds.contains(&line.kind) {
            kinds.push(line.kind);
        }
    }
    for (kind, (idle, in_use)) in kinds.into_iter().zip(COLOURS.into_iter().cycle()) {
        for (loaded, colour) in [(true, in_use), (false, idle)] {
            let curve: Vec<(f64, f64)> = report
                .teardowns
                .iter()
                .filter(|line| line.kind == kind && line.loaded == loaded)
                .map(|line| (line.slots as f64, ns(line)))
                .collect();
            if curve.is_empty() {
                continue;
            }
            let drawn = chart.draw_series([PathElement::new(curve, colour.stroke_width(2))])?;
            if !loaded {
                drawn.label(kind).legend(move |(x, y)| {
                    PathElement::new(vec![(x, y), (x + 20, y)], colour.stroke_width(2))
                });
            }
        }
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(BLACK)
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;

    for (place, fact) in (0..).zip(report.facts()) {
        let style = ("sans-serif", 12).into_font().color(&BLACK);
        below.draw(&Text::new(fact, (12, 6 + 18 * place), style))?;
    }
    area.present()?;
    Ok(())
}
