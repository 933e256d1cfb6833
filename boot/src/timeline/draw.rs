//! The timeline as a picture: the BSP's steps over the whole time; below, from the first SIPI on, a
//! row for the BSP and each other CPU. Bars of one colour are one path, to keep the file small.

use std::fmt::Display;
use std::ops::Range;

use protocol::human::Nanos;

use super::{BSP_PARTS, Span, Timeline, cpu_parts, online_ns};

const WIDTH: u32 = 1000;
/// Left of the lanes, where their names are, and right of them.
const LEFT: u32 = 68;
const RIGHT: u32 = 12;
/// The title, and the axis below lanes.
const TITLE: u32 = 42;
const AXIS: u32 = 48;
/// A row of the legend.
const LEGEND_ROW: u32 = 20;
const LEGEND_COLUMNS: u32 = 3;
/// Pixels of all lanes together, as long as a lane keeps a height that can be seen.
const LANES: u32 = 640;
const LANE: Range<u32> = 3..18;
/// More lanes than this are not all named.
const NAMED: usize = 36;

/// Waiting is pale, work is not.
const BSP_COLOURS: [&str; BSP_PARTS.len()] = ["#3a3a3a", "#b8b8b8", "#d2c2a4", "#e4e4e4"];
const CPU_COLOURS: [&str; 7] =
    ["#f8ecdb", "#d98a2b", "#b54a4a", "#6b4f9e", "#2a6fb0", "#2e8b57", "#e6f1ea"];
/// All phases of a CPU, where they are shorter than this together and so could not be seen.
const SHORT: &str = "#222222";
const SHORT_PIXELS: f64 = 3.0;
/// The last CPU, for which the BSP waited.
const LAST: &str = "#c02020";

impl Timeline {
    /// Draws it as an SVG. `about` says what was booted and becomes part of the title.
    pub(crate) fn svg(&self, about: &str) -> String {
        let lanes = self.cpus.len() as u32 + 1;
        let lane = (LANES / lanes).clamp(LANE.start, LANE.end);
        let entries = (BSP_PARTS.len() + CPU_COLOURS.len()) as u32;
        let legend = TITLE + LANE.end + AXIS + 14 + lane * lanes + AXIS;
        let height = legend + LEGEND_ROW * (entries.div_ceil(LEGEND_COLUMNS) + 1);
        let mut svg = Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<path fill=\"#fff\" d=\"M0 0h{WIDTH}v{height}H0z\"/>\n"
        ));
        let title = format!("{about}: done {} after the first INIT", Nanos(self.end_ns()));
        let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        svg.0 += &format!("<text x=\"{RIGHT}\" y=\"25\" font-size=\"20\">{title}</text>\n");
        // The BSP over the whole time.
        let whole = Lanes::over(0, self.end_ns(), TITLE, LANE.end);
        svg.bars(&whole, &BSP_COLOURS, [(0, self.bsp())]);
        svg.name(&whole, 0, "BSP");
        svg.axis(&whole, 1);
        // All, from the first SIPI on.
        let top = TITLE + LANE.end + AXIS + 14;
        let detail = Lanes::over(self.steps.sipi_ns, self.end_ns(), top, lane);
        svg.bars(&detail, &BSP_COLOURS, [(0, self.bsp())]);
        let cpus = || self.cpus.iter().enumerate();
        svg.bars(&detail, &CPU_COLOURS, cpus().map(|(place, cpu)| (place + 1, self.cpu(cpu))));
        svg.marks(&detail, self);
        svg.axis(&detail, lanes);
        svg.legend(legend, entries.div_ceil(LEGEND_COLUMNS));
        svg.0.push_str("</svg>\n");
        svg.0
    }
}

/// Where lanes are, and which time they show, in a unit that suits it.
struct Lanes {
    range: Range<f64>,
    unit: &'static str,
    nanos: f64,
    decimals: usize,
    top: u32,
    height: u32,
}

impl Lanes {
    fn over(from_ns: u64, to_ns: u64, top: u32, height: u32) -> Self {
        let span = to_ns.saturating_sub(from_ns).max(1);
        let (unit, nanos) = match span {
            0..2_000_000 => ("us", 1e3),
            _ => ("ms", 1e6),
        };
        let [from, to] = [from_ns, from_ns + span].map(|ns| ns as f64 / nanos);
        Self { range: from..to, unit, nanos, decimals: usize::from(to - from < 10.0), top, height }
    }

    /// Pixels from the left at this moment.
    fn x(&self, ns: u64) -> f64 {
        let Range { start, end } = self.range;
        let at = (ns as f64 / self.nanos).clamp(start, end);
        f64::from(LEFT) + (at - start) / (end - start) * f64::from(WIDTH - LEFT - RIGHT)
    }

    /// Pixels from the top to a lane, and below it.
    fn y(&self, lane: usize) -> u32 {
        self.top + lane as u32 * self.height
    }
}

struct Svg(String);

impl Svg {
    /// `look` is its attributes.
    fn path(&mut self, look: impl Display, path: impl Display) {
        self.0 += &format!("<path {look} d=\"{path}\"/>\n");
    }

    fn text(&mut self, x: impl Display, y: u32, anchor: &str, text: impl Display) {
        self.0 += &format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>\n");
    }

    fn dot(&mut self, x: f64, y: u32) {
        self.0 += &format!("<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"3\" fill=\"{LAST}\"/>\n");
    }

    /// A path of each colour, for the spans in lanes.
    fn bars(
        &mut self,
        lanes: &Lanes,
        colours: &[&str],
        rows: impl IntoIterator<Item = (usize, Vec<Span>)>,
    ) {
        let mut paths = vec![String::new(); colours.len()];
        // Between lanes that are high enough is a gap.
        let gap = u32::from(lanes.height > 5);
        for (lane, spans) in rows {
            for Span { part, from_ns, to_ns } in spans {
                let (from, to) = (lanes.x(from_ns), lanes.x(to_ns));
                if to > from {
                    let (y, height) = (lanes.y(lane) + gap, lanes.height - 2 * gap);
                    paths[part] += &format!("M{from:.1} {y}H{to:.1}v{height}H{from:.1}z");
                }
            }
        }
        for (path, colour) in paths.iter().zip(colours).filter(|(path, _)| !path.is_empty()) {
            self.path(format_args!("fill=\"{colour}\""), path);
        }
    }

    /// Names of CPUs, and what is special about some.
    fn marks(&mut self, lanes: &Lanes, timeline: &Timeline) {
        self.name(lanes, 0, "BSP");
        let (last, _) = timeline.last();
        let every = (timeline.cpus.len() + 1).div_ceil(NAMED).next_power_of_two();
        for (lane, cpu) in (1..).zip(&timeline.cpus) {
            let (start, end, y) = (lanes.x(cpu.at_ns[0]), lanes.x(online_ns(cpu)), lanes.y(lane));
            if end - start < SHORT_PIXELS {
                self.short(start, y, lanes.height);
            }
            if (cpu.index as usize).is_multiple_of(every) {
                self.name(lanes, lane, format_args!("CPU {}", cpu.index));
            }
            if cpu.attempts > 1 {
                self.dot(start, y + lanes.height / 2);
            }
            if cpu.index == last.index {
                let (top, bottom) = (lanes.top, y + lanes.height);
                let look = format!("stroke=\"{LAST}\"");
                self.path(look, format_args!("M{end:.1} {top}V{bottom}"));
                let label = format!("<tspan fill=\"{LAST}\">CPU {}, the last</tspan>", cpu.index);
                self.text(format_args!("{end:.1}"), top - 3, "end", label);
            }
        }
    }

    /// A mark for phases that are too short.
    fn short(&mut self, x: f64, y: u32, height: u32) {
        let path = format!("M{x:.1} {y}h{SHORT_PIXELS}v{height}h-{SHORT_PIXELS}z");
        self.path(format_args!("fill=\"{SHORT}\""), path);
    }

    /// Writes left of a lane.
    fn name(&mut self, lanes: &Lanes, lane: usize, name: impl Display) {
        self.text(LEFT - 6, lanes.y(lane) + lanes.height / 2 + 4, "end", name);
    }

    /// The axis below `count` lanes.
    fn axis(&mut self, lanes: &Lanes, count: u32) {
        let Lanes { range, nanos, unit, decimals, .. } = lanes;
        let y = lanes.y(count as usize);
        let mut ticks = format!("M{LEFT} {y}H{}", WIDTH - RIGHT);
        let step = step(range.end - range.start);
        let first = (range.start / step).ceil() as u64;
        for at in (first..).map(|n| n as f64 * step).take_while(|at| *at <= range.end) {
            let x = format!("{:.1}", lanes.x((at * nanos) as u64));
            ticks += &format!("M{x} {y}v5");
            self.text(x, y + 18, "middle", format_args!("{at:.decimals$}"));
        }
        self.path("stroke=\"#000\"", ticks);
        let label = format_args!("{unit} from the first INIT");
        self.text((WIDTH + LEFT) / 2, y + 34, "middle", label);
    }

    fn legend(&mut self, top: u32, rows: u32) {
        let place = |entry: u32| {
            let column = (WIDTH - LEFT) / LEGEND_COLUMNS * (entry / rows);
            (LEFT + column, top + entry % rows * LEGEND_ROW)
        };
        let bsp = BSP_PARTS.iter().map(|part| format!("BSP {part}"));
        let colours = BSP_COLOURS.iter().chain(&CPU_COLOURS);
        for (entry, (text, colour)) in (0..).zip(bsp.chain(cpu_parts()).zip(colours)) {
            let (x, y) = place(entry);
            let look = format!("fill=\"{colour}\" stroke=\"#bbb\"");
            self.path(look, format_args!("M{x} {y}h14v11h-14z"));
            self.text(x + 20, y + 10, "start", text);
        }
        let (x, y) = (place(rows).0, top + rows * LEGEND_ROW);
        self.dot(f64::from(LEFT + 7), y + 6);
        self.text(LEFT + 20, y + 10, "start", "had to be started again");
        self.short(f64::from(x + 6), y, 11);
        self.text(x + 20, y + 10, "start", "all of these, too short to be seen");
    }
}

/// Between two numbers on an axis, so that there are 10 at most: 1, 2 or 5 times a power of ten.
fn step(length: f64) -> f64 {
    let power = 10_f64.powf((length / 10.0).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|factor| factor * power);
    steps.into_iter().find(|step| length / step <= 10.0).unwrap_or(10.0 * power)
}
