//! Counts by class: a strip a series below one another, over one axis.

use super::canvas::{self, BAR, FONT, GRID, INK, MUTED, Scale, WIDTH};
use crate::harness::report::{Unit, number};
use plotters::style::text_anchor::HPos;

const STRIP: i32 = 54;
const HIGH: i32 = 42;
const LABEL_MOST: i32 = 240;

/// A series: its name and (upper end, count) of its classes.
type Series = (String, Vec<(f64, u64)>);

/// The picture; none when nothing was counted.
pub fn draw(title: &str, unit: Unit, series: &[Series]) -> Option<String> {
    let series: Vec<&Series> = series.iter().filter(|(_, classes)| classes.iter().any(|(_, n)| *n > 0)).collect();
    let ends = || series.iter().flat_map(|(_, classes)| classes).map(|(end, _)| *end).filter(|end| *end < f64::MAX);
    let (low, high) = (ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max));
    if !(low.is_finite() && high.is_finite()) {
        return None;
    }
    // Classes that double have half a class before the first end.
    let log = low > 0.0 && high / low > 16.0;
    let start = if log { low / 2.0 } else { low.min(0.0) };
    let names: Vec<String> = series.iter().map(|(name, _)| canvas::fit(name, LABEL_MOST)).collect();
    let totals: Vec<String> = series.iter().map(|(_, c)| total(c)).collect();
    let left = 10 + names.iter().chain(&totals).map(|name| canvas::width(name)).max().unwrap_or(0);
    let scale = Scale { ends: (start, high), pixels: (left, WIDTH - 40), log };
    let bottom = STRIP * series.len() as i32 + 4;
    Some(canvas::picture(title, bottom + 2 * FONT + 4, |canvas| {
        for (value, words) in scale.ticks(unit, 8) {
            let x = scale.at(value);
            canvas.line((x, 4), (x, bottom), GRID, 1);
            canvas.text(&words, (x, bottom + FONT), HPos::Center, MUTED);
        }
        for (at, (_, classes)) in series.iter().enumerate() {
            let base = STRIP * (at as i32 + 1);
            canvas.text(&names[at], (left - 8, base - HIGH / 2 - 8), HPos::Right, INK);
            canvas.text(&totals[at], (left - 8, base - HIGH / 2 + 9), HPos::Right, MUTED);
            let most = classes.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1) as f64;
            let mut from = start;
            for (end, count) in classes {
                let (x0, x1) = (scale.at(from), scale.at(*end));
                let tall = (*count as f64 / most * f64::from(HIGH)).round() as i32;
                // What is there is seen.
                let tall = if *count > 0 { tall.max(1) } else { 0 };
                if tall > 0 {
                    canvas.rectangle((x0 + 1, base - tall), ((x1 - 1).max(x0 + 2), base), BAR);
                }
                from = *end;
            }
            canvas.line((left, base), (WIDTH - 40, base), MUTED, 1);
        }
    }))
}

fn total(classes: &[(f64, u64)]) -> String {
    let count: u64 = classes.iter().map(|(_, n)| n).sum();
    number::show(count as f64, Unit::Count) + " in all"
}
