//! The timeline as a picture: the BSP's steps over the whole time, and below, from the first SIPI on, a
//! lane for the BSP and one for each other CPU.

use std::ops::Range;

use anyhow::Context;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{BSP_PARTS, Span, Timeline, cpu_parts, online_ns};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const WIDTH: u32 = 1000;
/// The title, and the strip below it.
const STRIP: u32 = 116;
/// A row of the legend.
const LEGEND_ROW: u32 = 20;
const LEGEND_COLUMNS: usize = 3;
/// Pixels of all lanes together, as long as a lane keeps a height that can be seen.
const LANES: u32 = 640;
const LANE: Range<u32> = 3..18;
/// Left of the lanes, where their names are.
const NAMES: u32 = 56;
const AXIS: u32 = 44;
const MARGIN: u32 = 12;

/// Waiting is pale, work is not.
const BSP_COLOURS: [RGBColor; BSP_PARTS.len()] = [
    RGBColor(0x3a, 0x3a, 0x3a),
    RGBColor(0xb8, 0xb8, 0xb8),
    RGBColor(0xd2, 0xc2, 0xa4),
    RGBColor(0xe4, 0xe4, 0xe4),
];
const CPU_COLOURS: [RGBColor; 7] = [
    RGBColor(0xf8, 0xec, 0xdb),
    RGBColor(0xd9, 0x8a, 0x2b),
    RGBColor(0xb5, 0x4a, 0x4a),
    RGBColor(0x6b, 0x4f, 0x9e),
    RGBColor(0x2a, 0x6f, 0xb0),
    RGBColor(0x2e, 0x8b, 0x57),
    RGBColor(0xe6, 0xf1, 0xea),
];
/// All phases of a CPU, where they are shorter than this together and so could not be seen.
const SHORT: RGBColor = RGBColor(0x22, 0x22, 0x22);
const SHORT_PIXELS: f64 = 3.0;
/// The last CPU, for which the BSP waited.
const LAST: RGBColor = RGBColor(0xc0, 0x20, 0x20);

pub(super) fn svg(timeline: &Timeline, about: &str) -> anyhow::Result<String> {
    let lanes = timeline.cpus.len() as u32 + 1;
    let lane = (LANES / lanes).clamp(LANE.start, LANE.end);
    let detail = lane * lanes + AXIS + 2 * MARGIN;
    let entries = BSP_PARTS.len() + CPU_COLOURS.len();
    let legend = LEGEND_ROW * (entries.div_ceil(LEGEND_COLUMNS) + 1) as u32;
    let mut svg = String::new();
    {
        let size = (WIDTH, STRIP + detail + legend);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let drawn = draw(timeline, about, &area, detail);
        // The error's type has no message of its own in memory.
        drawn.map_err(|error| anyhow::anyhow!("{error}"))?;
        area.present().context("cannot draw")?;
    }
    Ok(svg)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw<'a>(timeline: &Timeline, about: &str, area: &Area<'a>, detail: u32) -> Drawn<'a> {
    area.fill(&WHITE)?;
    let (strip, rest) = area.split_vertically(STRIP);
    let (detail, legend) = rest.split_vertically(detail);
    let title = format!(
        "{about}: done {} after the first INIT",
        protocol::human::Nanos(timeline.end_ns())
    );
    strip.draw(&Text::new(
        title,
        (MARGIN as i32, 10),
        ("sans-serif", 20).into_font(),
    ))?;
    draw_strip(timeline, &strip.margin(34, 0, 0, 0))?;
    draw_lanes(timeline, &detail)?;
    draw_legend(&legend)
}

/// The BSP over the whole time.
fn draw_strip<'a>(timeline: &Timeline, area: &Area<'a>) -> Drawn<'a> {
    let axis = Axis::over(0, timeline.end_ns());
    let mut chart = lanes_on(area, &axis, 1)?;
    draw_spans(&mut chart, &axis, 0, &timeline.bsp(), &BSP_COLOURS)?;
    name_lane(area, &chart, 0, "BSP")
}

/// The time from the first SIPI on.
fn draw_lanes<'a>(timeline: &Timeline, area: &Area<'a>) -> Drawn<'a> {
    let sipi = timeline.steps.sipi_ns;
    let axis = Axis::over(sipi, timeline.end_ns());
    let lanes = timeline.cpus.len() + 1;
    let mut chart = lanes_on(area, &axis, lanes)?;
    let bsp: Vec<_> = timeline
        .bsp()
        .into_iter()
        .filter(|span| span.to_ns > sipi)
        .collect();
    draw_spans(&mut chart, &axis, 0, &bsp, &BSP_COLOURS)?;
    name_lane(area, &chart, 0, "BSP")?;
    let (last, _) = timeline.last();
    let every = lanes.div_ceil(36).next_power_of_two();
    for (place, cpu) in timeline.cpus.iter().enumerate() {
        let lane = place + 1;
        draw_spans(&mut chart, &axis, lane, &timeline.cpu(cpu), &CPU_COLOURS)?;
        let (from, least) = (axis.at(cpu.at_ns[0]), axis.per_pixel() * SHORT_PIXELS);
        if axis.at(online_ns(cpu)) - from < least {
            let (top, bottom) = lane_edges(&chart, lane);
            let corners = [(from, top), (from + least, bottom)];
            chart.draw_series([Rectangle::new(corners, SHORT.filled())])?;
        }
        if (cpu.index as usize).is_multiple_of(every) || lanes <= 36 {
            name_lane(area, &chart, lane, &format!("CPU {}", cpu.index))?;
        }
        if cpu.attempts > 1 {
            let at = (axis.at(cpu.at_ns[0]), lane as f64 + 0.5);
            chart.draw_series([Circle::new(at, 3, LAST.filled())])?;
        }
        if cpu.index == last.index {
            let at = axis.at(online_ns(cpu));
            let line = [(at, 0.0), (at, lane as f64 + 1.0)];
            chart.draw_series([PathElement::new(line, LAST.stroke_width(1))])?;
            let (x, y) = chart.backend_coord(&(at, 0.0));
            let (left, top) = area.get_pixel_range();
            let text = format!("CPU {}, the last", cpu.index);
            let style = ("sans-serif", 12).into_font().color(&LAST);
            let style = style.pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Right,
                plotters::style::text_anchor::VPos::Bottom,
            ));
            area.draw(&Text::new(text, (x - left.start, y - top.start), style))?;
        }
    }
    Ok(())
}

fn draw_legend<'a>(area: &Area<'a>) -> Drawn<'a> {
    let bsp = BSP_PARTS.iter().map(|part| format!("BSP {part}"));
    let entries = bsp
        .chain(cpu_parts())
        .zip(BSP_COLOURS.iter().chain(&CPU_COLOURS));
    let rows = (BSP_COLOURS.len() + CPU_COLOURS.len()).div_ceil(LEGEND_COLUMNS);
    for (place, (text, colour)) in entries.enumerate() {
        let column = (WIDTH - NAMES) as usize / LEGEND_COLUMNS * (place / rows);
        let (x, y) = (
            NAMES as i32 + column as i32,
            (place % rows) as i32 * LEGEND_ROW as i32,
        );
        area.draw(&Rectangle::new([(x, y), (x + 14, y + 11)], colour.filled()))?;
        area.draw(&Rectangle::new([(x, y), (x + 14, y + 11)], BLACK.mix(0.3)))?;
        area.draw(&Text::new(
            text,
            (x + 20, y),
            ("sans-serif", 13).into_font(),
        ))?;
    }
    let y = rows as i32 * LEGEND_ROW as i32;
    area.draw(&Circle::new((NAMES as i32 + 7, y + 6), 3, LAST.filled()))?;
    let text = "had to be started once more";
    let font = ("sans-serif", 13).into_font();
    area.draw(&Text::new(text, (NAMES as i32 + 20, y), font.clone()))?;
    let x = NAMES as i32 + (WIDTH - NAMES) as i32 / LEGEND_COLUMNS as i32;
    let mark = [(x + 6, y), (x + 6 + SHORT_PIXELS as i32, y + 11)];
    area.draw(&Rectangle::new(mark, SHORT.filled()))?;
    let text = "all of these, too short to be seen";
    area.draw(&Text::new(text, (x + 20, y), font))
}

/// An empty chart with lanes from top to bottom.
fn lanes_on<'a, 'b>(
    area: &'a Area<'b>,
    axis: &Axis,
    lanes: usize,
) -> Result<Chart<'a, 'b>, DrawingAreaErrorKind<<SVGBackend<'b> as DrawingBackend>::ErrorType>> {
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .x_label_area_size(AXIS)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(axis.range.clone(), lanes as f64..0.0)?;
    let decimals = axis.decimals;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .x_labels(10)
        .x_label_formatter(&|x| format!("{x:.decimals$}"))
        // Its own default depends on the height of the chart.
        .label_style(("sans-serif", 12))
        .axis_desc_style(("sans-serif", 12))
        .x_desc(format!("{} from the first INIT", axis.unit))
        .draw()?;
    Ok(chart)
}

/// Where bars of a lane begin and end; between lanes that are high enough is a gap.
fn lane_edges(chart: &Chart<'_, '_>, lane: usize) -> (f64, f64) {
    let y = |lane: f64| chart.backend_coord(&(0.0, lane)).1;
    let top = lane as f64;
    let gap = if y(top + 1.0) - y(top) > 5 { 0.12 } else { 0.0 };
    (top + gap, top + 1.0 - gap)
}

/// Bars of these colours in a lane.
fn draw_spans<'a>(
    chart: &mut Chart<'_, 'a>,
    axis: &Axis,
    lane: usize,
    spans: &[Span],
    colours: &[RGBColor],
) -> Drawn<'a> {
    let (top, bottom) = lane_edges(chart, lane);
    let bars = spans.iter().map(|span| {
        let corners = [(axis.at(span.from_ns), top), (axis.at(span.to_ns), bottom)];
        Rectangle::new(corners, colours[span.part].filled())
    });
    chart.draw_series(bars)?;
    Ok(())
}

/// Writes left of a lane.
fn name_lane<'a>(area: &Area<'a>, chart: &Chart<'_, 'a>, lane: usize, name: &str) -> Drawn<'a> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};

    let (_, y) = chart.backend_coord(&(0.0, lane as f64 + 0.5));
    let (_, top) = area.get_pixel_range();
    let style = ("sans-serif", 12).into_font().color(&BLACK);
    let style = style.pos(Pos::new(HPos::Right, VPos::Center));
    let x = (MARGIN + NAMES) as i32 - 6;
    area.draw(&Text::new(name.to_string(), (x, y - top.start), style))
}

/// Time, in a unit that suits it.
pub(super) struct Axis {
    pub(super) range: Range<f64>,
    pub(super) unit: &'static str,
    nanos: f64,
    pub(super) decimals: usize,
}

impl Axis {
    pub(super) fn over(from_ns: u64, to_ns: u64) -> Self {
        let span = to_ns.saturating_sub(from_ns).max(1);
        let (unit, nanos) = match span {
            0..2_000_000 => ("us", 1e3),
            _ => ("ms", 1e6),
        };
        let [from, to] = [from_ns, from_ns + span].map(|ns| ns as f64 / nanos);
        Self {
            range: from..to,
            unit,
            nanos,
            decimals: usize::from(to - from < 10.0),
        }
    }

    /// Time that takes a pixel.
    fn per_pixel(&self) -> f64 {
        (self.range.end - self.range.start) / f64::from(WIDTH - NAMES - 2 * MARGIN)
    }

    fn at(&self, ns: u64) -> f64 {
        (ns as f64 / self.nanos).clamp(self.range.start, self.range.end)
    }
}
