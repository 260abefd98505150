//! Bars of one column: the value, its interval, and the limit it is held against.

use super::canvas::{self, BAR, FONT, GRID, INK, LIMIT, MUTED, Scale, WIDTH};
use crate::harness::report::{Cell, Section, Unit, number};
use plotters::style::text_anchor::HPos;

const ROW: i32 = 28;
const THICK: i32 = 14;
const LABEL_MOST: i32 = 260;

struct Bar {
    label: String,
    value: f64,
    interval: Option<(f64, f64)>,
    limit: Option<f64>,
    words: String,
}

/// The picture; none when no row has a number in this column.
pub fn draw(section: &Section, title: &str, column: &str, limit: Option<&str>, line: Option<f64>) -> Option<String> {
    let (unit, bars) = bars(section, column, limit)?;
    let reach = bars.iter().flat_map(|bar| [Some(bar.value), bar.interval.map(|(_, high)| high), bar.limit]);
    let all: Vec<f64> = reach.flatten().chain(line).filter(|v| v.is_finite()).collect();
    let (low, high) = (all.iter().copied().fold(0.0, f64::min), all.iter().copied().fold(0.0, f64::max));
    let left = 10 + bars.iter().map(|bar| canvas::width(&bar.label)).max().unwrap_or(0);
    let right = 16 + bars.iter().map(|bar| canvas::width(&bar.words)).max().unwrap_or(0);
    let scale =
        Scale { ends: (low, if high > low { high } else { low + 1.0 }), pixels: (left, WIDTH - right), log: false };
    let bottom = 6 + ROW * bars.len() as i32;
    Some(canvas::picture(title, bottom + 2 * FONT + 4, |canvas| {
        for (value, words) in scale.ticks(unit, 5) {
            let x = scale.at(value);
            canvas.line((x, 4), (x, bottom), GRID, 1);
            canvas.text(&words, (x, bottom + FONT), HPos::Center, MUTED);
        }
        for (at, bar) in bars.iter().enumerate() {
            let middle = 6 + ROW * at as i32 + ROW / 2;
            canvas.text(&bar.label, (left - 8, middle), HPos::Right, INK);
            let ends = (scale.at(bar.value.min(0.0)), scale.at(bar.value.max(0.0)));
            canvas.rectangle((ends.0, middle - THICK / 2), (ends.1, middle + THICK / 2), BAR);
            if let Some((low, high)) = bar.interval {
                let (low, high) = (scale.at(low), scale.at(high));
                canvas.line((low, middle), (high, middle), INK, 1);
                canvas.line((low, middle - 4), (low, middle + 4), INK, 1);
                canvas.line((high, middle - 4), (high, middle + 4), INK, 1);
            }
            if let Some(limit) = bar.limit {
                let x = scale.at(limit);
                canvas.line((x, middle - ROW / 2 + 3), (x, middle + ROW / 2 - 3), LIMIT, 3);
            }
            canvas.text(&bar.words, (WIDTH - right + 10, middle), HPos::Left, INK);
        }
        if let Some(line) = line.filter(|line| line.is_finite()) {
            canvas.dashes(scale.at(line), 2, bottom, LIMIT);
        }
    }))
}

fn bars(section: &Section, column: &str, limit: Option<&str>) -> Option<(Unit, Vec<Bar>)> {
    let index = |id: &str| section.columns.iter().position(|column| column.id == id);
    let at = index(column)?;
    let unit = section.columns[at].unit;
    let limit_at = limit.and_then(index);
    let bars: Vec<Bar> = section
        .rows
        .iter()
        .filter_map(|row| {
            let cell = row.cells.get(at)?;
            let value = cell.number().filter(|value| value.is_finite())?;
            let interval = match cell {
                Cell::Measured { low, high, samples, .. } if samples.len() > 1 => Some((*low, *high)),
                _ => None,
            };
            Some(Bar {
                label: canvas::fit(&row.label, LABEL_MOST),
                value,
                interval: interval.filter(|(low, high)| low.is_finite() && high.is_finite()),
                limit: limit_at.and_then(|at| row.cells.get(at)?.number()).filter(|limit| limit.is_finite()),
                words: number::cell(cell, unit),
            })
        })
        .collect();
    (!bars.is_empty()).then_some((unit, bars))
}
