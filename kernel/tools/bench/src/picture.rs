//! Tables as pictures, in SVG: two bars for each of some things.

use crate::{Group, HostMachine, Row, Table};

struct Bars {
    group: Group,
    name: String,
    figures: [f64; 2],
}

fn figure(row: &Row, column: usize) -> f64 {
    row.cells[column].median().unwrap_or(0.0)
}

/// The pairs, the cheapest first: by one thread, and by all.
pub fn of_pairs(pairs: &Table, machine: &HostMachine) -> String {
    let is_number = |column: &String| column.parse::<usize>().is_ok();
    let all = pairs.columns.iter().rposition(is_number).unwrap_or(0);
    let bars = pairs.rows.iter().map(|row| Bars {
        group: row.group,
        name: row.name.clone(),
        figures: [figure(row, 0), figure(row, all)],
    });
    let mut bars: Vec<Bars> = bars.filter(|bars| bars.figures[0] > 0.0).collect();
    bars.sort_by(|a, b| a.figures[0].total_cmp(&b.figures[0]));
    let longest = bars.iter().map(|bars| bars.figures[0]).fold(1.0, f64::max) * 1.2;
    let title = "One acquire and one release of an object that all threads share, ns per thread";
    let legend = format!("dark: 1 thread; light: {} threads at once", pairs.columns[all]);
    draw(title, &legend, &bars, longest, machine)
}

/// The teardowns, with some numbers of slots: idle, and under load.
pub fn of_teardowns(idle: &Table, loaded: Option<&Table>, machine: &HostMachine) -> String {
    let mut bars = Vec::new();
    for row in idle.rows.iter().filter(|row| !row.name.starts_with(' ')) {
        let loaded = loaded.and_then(|loaded| loaded.row(&row.name));
        bars.extend((0..idle.columns.len()).step_by(2).map(|column| Bars {
            group: row.group,
            name: format!("{}: {}", row.name, idle.columns[column]),
            figures: [figure(row, column), loaded.map_or(0.0, |row| figure(row, column))],
        }));
    }
    let title = "Closing and draining one object, by the number of its slots, ns";
    draw(title, "dark: idle; light: while all other CPUs use it", &bars, 1_500.0, machine)
}

/// Bars that are longer than this are cut: they would press all else together.
fn draw(title: &str, legend: &str, bars: &[Bars], longest: f64, machine: &HostMachine) -> String {
    /// Where the bars begin, how wide is the longest, and how high are two with a gap.
    const LEFT: f64 = 300.0;
    const LONGEST: f64 = 480.0;
    const LINE: f64 = 22.0;
    let foot = 62.0 + LINE * bars.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{}\" font-family=\"sans-serif\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        foot + 48.0
    );
    let text = |x: f64, y: f64, style: &str, text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        format!("<text x=\"{x:.0}\" y=\"{y:.0}\" {style}>{text}</text>\n")
    };
    let bar = |x: f64, y: f64, width: f64, colour| {
        let place = format!("x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"8\"");
        format!("<rect {place} fill=\"{colour}\"/>\n")
    };
    let colours = "blue: rundown; grey: bare instructions; orange: others; with a gap: cut short";
    svg += &text(12.0, 26.0, "font-size=\"18\"", title);
    svg += &text(12.0, 48.0, "font-size=\"14\"", &format!("{legend}; {colours}"));
    svg += &text(12.0, foot + 20.0, "font-size=\"12\"", &machine.hardware);
    svg += &text(12.0, foot + 38.0, "font-size=\"12\"", &machine.software);
    let length = |ns: f64| ns.min(longest) / longest * LONGEST;
    for (place, Bars { group, name, figures }) in bars.iter().enumerate() {
        let y = 75.0 + LINE * place as f64;
        svg += &text(LEFT - 8.0, y, "font-size=\"13\" text-anchor=\"end\"", name);
        let end = LEFT + length(figures[0].max(figures[1])) + 6.0;
        let digits = if longest > 100.0 { 0 } else { 1 };
        let shown = figures.iter().filter(|&&ns| ns > 0.0).map(|ns| format!("{ns:.digits$}"));
        svg += &text(end, y, "font-size=\"12\"", &shown.collect::<Vec<_>>().join(" / "));
        let colours = match group {
            Group::Ours | Group::Diagnosis => ["#2a6fb0", "#9cc1e2"],
            Group::Peer | Group::Shape => ["#d98a2b", "#f0cd9c"],
            Group::Limit => ["#6b6b6b", "#c4c4c4"],
        };
        for ((&ns, colour), y) in figures.iter().zip(colours).zip([y - 12.0, y - 4.0]) {
            svg += &bar(LEFT, y, length(ns), colour);
            if ns > longest {
                svg += &bar(LEFT + LONGEST - 12.0, y, 4.0, "white");
            }
        }
    }
    svg + "</svg>\n"
}
