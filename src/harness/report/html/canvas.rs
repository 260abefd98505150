//! What the plots share: a drawing area, colours for light and dark, scales, text.

use crate::base::escape;
use crate::harness::report::{Unit, number};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width of every plot, in pixels.
pub const WIDTH: i32 = 960;
/// Height of a line of text.
pub const FONT: i32 = 13;
/// The backend writes a size smaller by this.
const FONT_SIZE: f64 = FONT as f64 * 1.24;

const MEMORY: &str = "memory does not fail to write";

/// Light colours, which are in the picture, and the dark ones that a style rule puts in their place.
const PALETTE: [(u32, u32); 12] = [
    (0x1c2330, 0xe6e9ef),
    (0x5b6472, 0x9aa4b2),
    (0xd9dee6, 0x333b47),
    (0xe4570a, 0xff9d5c),
    (0x2f6fde, 0x6ea8ff),
    (0xb3261e, 0xff8a80),
    (0x0f8a5f, 0x4fd1a1),
    (0x8b3fc7, 0xc89bff),
    (0xa16207, 0xe5b454),
    (0x0e7490, 0x56c8dd),
    (0xbe185d, 0xff8abf),
    (0x4d4d4d, 0xc4c4c4),
];
pub const INK: RGBColor = color(0);
pub const MUTED: RGBColor = color(1);
pub const GRID: RGBColor = color(2);
pub const LIMIT: RGBColor = color(3);
pub const BAR: RGBColor = color(4);
/// Colours that tell series apart.
pub const SERIES: usize = 8;

const fn color(at: usize) -> RGBColor {
    let n = PALETTE[at].0;
    RGBColor((n >> 16) as u8, (n >> 8) as u8, n as u8)
}

/// The colour of a series.
pub fn series_color(at: usize) -> RGBColor {
    color(4 + at % SERIES)
}

/// Style rules that put dark colours in place of the light ones, and colour the legend.
pub fn dark_rules() -> String {
    let mut rules = String::new();
    for (at, (light, _)) in PALETTE[4..].iter().enumerate() {
        rules += &format!(".s{at} {{ background: #{light:06x}; }}\n");
    }
    rules += "@media screen and (prefers-color-scheme: dark) {\n";
    for (light, dark) in PALETTE {
        rules += &format!("  svg [fill=\"#{light:06X}\"] {{ fill: #{dark:06x}; }}\n");
        rules += &format!("  svg [stroke=\"#{light:06X}\"] {{ stroke: #{dark:06x}; }}\n");
    }
    for (at, (_, dark)) in PALETTE[4..].iter().enumerate() {
        rules += &format!("  .s{at} {{ background: #{dark:06x}; }}\n");
    }
    rules + "}\n"
}

/// A picture being drawn.
pub struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// Draws a picture of this height; `title` is what a reader hears who does not see it.
pub fn picture(title: &str, height: i32, draw: impl FnOnce(&Canvas<'_>)) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
    let canvas = Canvas(area);
    draw(&canvas);
    canvas.0.present().expect(MEMORY);
    drop(canvas);
    let title = maud::html! { (escape::text(title)) }.into_string();
    // Inside a page the name space is known.
    svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1).replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{title}\" "),
        1,
    )
}

impl Canvas<'_> {
    /// Text that begins, ends or is centred at a point.
    pub fn text(&self, words: &str, at: (i32, i32), anchor: HPos, color: RGBColor) {
        let style = ("sans-serif", FONT_SIZE).into_font().color(&color).pos(Pos::new(anchor, VPos::Center));
        self.0.draw(&Text::new(escape::text(words), at, style)).expect(MEMORY);
    }

    pub fn line(&self, from: (i32, i32), to: (i32, i32), color: RGBColor, width: u32) {
        self.path_of(vec![from, to], color, width);
    }

    /// A line through points.
    pub fn path(&self, points: Vec<(i32, i32)>, color: RGBColor) {
        self.path_of(points, color, 2);
    }

    /// A vertical line of dashes.
    pub fn dashes(&self, x: i32, top: i32, bottom: i32, color: RGBColor) {
        let mut y = top;
        while y < bottom {
            self.line((x, y), (x, (y + 6).min(bottom)), color, 2);
            y += 10;
        }
    }

    /// A filled rectangle.
    pub fn rectangle(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) {
        self.0.draw(&Rectangle::new([from, to], color.filled())).expect(MEMORY);
    }

    pub fn dot(&self, at: (i32, i32), color: RGBColor) {
        self.0.draw(&Circle::new(at, 3, color.filled())).expect(MEMORY);
    }

    fn path_of(&self, points: Vec<(i32, i32)>, color: RGBColor, width: u32) {
        self.0.draw(&PathElement::new(points, color.stroke_width(width))).expect(MEMORY);
    }
}

/// A straight or logarithmic way from values to pixels.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Values at the ends.
    pub ends: (f64, f64),
    /// Pixels at the ends.
    pub pixels: (i32, i32),
    /// Equal factors are equally long.
    pub log: bool,
}

impl Scale {
    /// Where a value lies; values outside lie at the end.
    pub fn at(&self, value: f64) -> i32 {
        let way = |v: f64| if self.log { v.log2() } else { v };
        let (low, high) = (way(self.ends.0), way(self.ends.1));
        let share = if high > low { ((way(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let share = if share.is_finite() { share } else { 0.0 };
        self.pixels.0 + (share * f64::from(self.pixels.1 - self.pixels.0)).round() as i32
    }

    /// About `n` round values within the ends, with their words.
    pub fn ticks(&self, unit: Unit, n: usize) -> Vec<(f64, String)> {
        let (low, high) = self.ends;
        let mut ticks = vec![];
        if self.log {
            let (first, last) = (low.log2().ceil() as i32, high.log2().floor() as i32);
            let step = ((last - first) / n.max(1) as i32).max(1);
            ticks.extend((first..=last).step_by(step as usize).map(|power| 2f64.powi(power)));
        } else if high > low {
            let step = round_step((high - low) / n.max(1) as f64, unit);
            let first = (low / step).ceil() as i64;
            ticks.extend((first..).map(|k| k as f64 * step).take_while(|v| *v <= high * (1.0 + 1e-9)).take(50));
        }
        ticks.into_iter().map(|value| (value, tick_words(value, unit))).collect()
    }
}

fn tick_words(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ratio => format!("{}×", (value * 1000.0).round() / 1000.0),
        _ => number::show(value, unit),
    }
}

/// The next 1, 2 or 5 times a power of ten; of bytes, the next power of two.
fn round_step(rough: f64, unit: Unit) -> f64 {
    if unit == Unit::Bytes && rough >= 1.0 {
        return 2f64.powf(rough.log2().ceil());
    }
    let power = 10f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| times * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    times * power
}

/// About how wide a text will be.
pub fn width(text: &str) -> i32 {
    text.chars().map(|c| if (c as u32) < 0x1100 { 8 } else { 15 }).sum()
}

/// The text, shortened in its middle when it is wider.
pub fn fit(text: &str, most: i32) -> String {
    let text = escape::text(text);
    if width(&text) <= most {
        return text;
    }
    let chars: Vec<char> = text.chars().collect();
    let mut kept = chars.len();
    loop {
        kept -= 1;
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let short: String = chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect();
        if kept <= 2 || width(&short) <= most {
            return short;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let words = |ends, log, unit| {
            let scale = Scale { ends, pixels: (0, 100), log };
            scale.ticks(unit, 4).into_iter().map(|(_, words)| words).collect::<Vec<_>>()
        };
        assert_eq!(words((0.0, 1.7), false, Unit::Ratio), ["0×", "0.5×", "1×", "1.5×"]);
        assert_eq!(
            words((0.0, 3.0e9), false, Unit::BytesPerSecond),
            ["0 MB/s", "1,000 MB/s", "2,000 MB/s", "3,000 MB/s"]
        );
        assert_eq!(
            words((65536.0, 1048576.0), true, Unit::Bytes),
            ["64 KiB", "128 KiB", "256 KiB", "512 KiB", "1 MiB"]
        );
        assert_eq!(words((0.0, 200_000.0), false, Unit::Bytes), ["0 B", "64 KiB", "128 KiB", "192 KiB"]);
        assert_eq!(words((1.0, 1.0), false, Unit::Count), Vec::<String>::new());
    }

    #[test]
    fn values_outside_of_a_scale_lie_at_its_ends() {
        let scale = Scale { ends: (1.0, 16.0), pixels: (10, 50), log: true };
        assert_eq!([0.0, 1.0, 4.0, 16.0, 99.0].map(|v| scale.at(v)), [10, 10, 30, 50, 50]);
    }

    #[test]
    fn long_labels_lose_their_middle() {
        assert_eq!(fit("short", 100), "short");
        let long = fit("a very long label of a chunker (64 KiB)", 120);
        assert!(long.starts_with("a very") && long.ends_with("KiB)") && width(&long) <= 120, "{long}");
        assert_eq!(fit("ab\u{1b}c", 300), "ab\\x1bc");
    }
}
