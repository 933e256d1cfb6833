//! The report as a picture: two bars for each contender.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Pair, Report};
use crate::Group;

const WIDTH: i32 = 900;
/// Of one contender's line.
const LINE: i32 = 22;
const TOP: i32 = 70;
const BOTTOM: i32 = 58;
/// Where the bars begin.
const LEFT: i32 = 300;
/// Room for figures at the end of the longest bar.
const RIGHT: i32 = 120;

/// An SVG picture of the pairs, the cheapest first.
///
/// # Errors
/// If it cannot be drawn.
pub fn svg(report: &Report) -> anyhow::Result<String> {
    let mut svg = String::new();
    let height = TOP + BOTTOM + LINE * i32::try_from(report.pairs.len())?;
    let size = (WIDTH as u32, u32::try_from(height)?);
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw(report, &area).map_err(|error| anyhow::anyhow!("{error}"))?;
    drop(area);
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(report: &Report, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let mut lines: Vec<&Pair> = report.pairs.iter().collect();
    lines.sort_by(|a, b| a.alone().total_cmp(&b.alone()));
    // What threads cost each other on a shared line would press all else together: those bars are cut.
    let longest = lines.iter().map(|line| line.alone()).fold(1.0, f64::max) * 1.2;
    let length =
        |ns: f64| (ns.min(longest) / longest * f64::from(WIDTH - LEFT - RIGHT)).round() as i32;
    let threads = lines
        .iter()
        .filter_map(|line| line.costs.last())
        .map(|cost| cost.threads)
        .max();

    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw(&Text::new(
        "One acquire and one release of an object that all threads share, ns per thread",
        (12, 14),
        text(18),
    ))?;
    let threads = threads.unwrap_or(1);
    let legend = if threads > 1 {
        format!("dark: 1 thread; light: {threads} threads at once; ")
    } else {
        String::new()
    };
    area.draw(&Text::new(
        format!(
            "{legend}blue: rundown; grey: bare instructions; orange: others; with a gap: cut short"
        ),
        (12, 42),
        text(14),
    ))?;

    for (place, line) in (0..).zip(&lines) {
        let y = TOP + LINE * place;
        let (alone, together) = colours(line.group);
        let (first, last) = match line.costs.as_slice() {
            [first, .., last] => (first.ns.median, Some(last.ns.median)),
            [only] => (only.ns.median, None),
            [] => continue,
        };
        let right = Pos::new(HPos::Right, VPos::Center);
        let name = Text::new(line.name, (LEFT - 8, y + 9), text(13).pos(right));
        area.draw(&name)?;
        let bar = |ns, top, bottom| [(LEFT, y + top), (LEFT + length(ns), y + bottom)];
        area.draw(&Rectangle::new(bar(first, 1, 9), alone.filled()))?;
        if let Some(last) = last {
            area.draw(&Rectangle::new(bar(last, 9, 17), together.filled()))?;
            if last > longest {
                let cut = LEFT + length(last) - 12;
                let gap = [(cut, y + 9), (cut + 4, y + 17)];
                area.draw(&Rectangle::new(gap, WHITE.filled()))?;
            }
        }
        let figures = match last {
            Some(last) => format!("{first:.1} / {last:.1}"),
            None => format!("{first:.1}"),
        };
        let end = LEFT + length(first.max(last.unwrap_or(0.0))) + 6;
        let centre = Pos::new(HPos::Left, VPos::Center);
        area.draw(&Text::new(figures, (end, y + 9), text(12).pos(centre)))?;
    }

    let below = TOP + LINE * i32::try_from(lines.len())?;
    for (place, fact) in (0..).zip(report.facts()) {
        area.draw(&Text::new(fact, (12, below + 12 + 18 * place), text(12)))?;
    }
    area.present()?;
    Ok(())
}

/// For one thread, and for all.
fn colours(group: Group) -> (RGBColor, RGBColor) {
    match group {
        Group::Ours | Group::Diagnosis => (RGBColor(0x2a, 0x6f, 0xb0), RGBColor(0x9c, 0xc1, 0xe2)),
        Group::Peer | Group::Shape => (RGBColor(0xd9, 0x8a, 0x2b), RGBColor(0xf0, 0xcd, 0x9c)),
        Group::Limit => (RGBColor(0x6b, 0x6b, 0x6b), RGBColor(0xc4, 0xc4, 0xc4)),
    }
}
