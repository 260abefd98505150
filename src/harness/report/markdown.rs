//! Tables for pull requests and wikis (GitHub Flavored Markdown). What comes from outside is escaped.

use super::{Report, Section, Unit, number, text};
use crate::base::escape;

pub fn render(report: &Report) -> String {
    let mut out = format!("# {} bench {}\n\n", plain(&report.program), plain(&report.kind));
    out += &format!("{}, on {}\n", plain(&report.started), plain(&text::machine(report)));
    if !report.command.is_empty() {
        out += &format!("\nCommand: {}\n", plain(&format!("larder bench {}", report.command.join(" "))));
    }
    report.sections.iter().for_each(|section| out += &section_text(section));
    if !report.warnings.is_empty() {
        out += "\n## Doubtful\n\n";
        report.warnings.iter().for_each(|warning| out += &format!("- {}\n", plain(warning)));
    }
    out
}

fn section_text(section: &Section) -> String {
    let mut out = format!("\n## {}\n", plain(&section.title));
    if let Some(data) = &section.data {
        out += &format!("\n{}\n", plain(&number::data(data)));
    }
    if !section.rows.is_empty() {
        let titles: Vec<_> = section.columns.iter().map(|column| plain(&column.title)).collect();
        out += &format!("\n|  | {} |\n", titles.join(" | "));
        let rules = section.columns.iter().map(|column| if column.unit == Unit::Text { "---" } else { "---:" });
        out += &format!("|---|{}|\n", rules.collect::<Vec<_>>().join("|"));
        for row in &section.rows {
            let cells = section.columns.iter().zip(&row.cells).map(|(c, cell)| plain(&number::cell(cell, c.unit)));
            out += &format!("| {} | {} |\n", plain(&row.label), cells.collect::<Vec<_>>().join(" | "));
        }
    }
    if !section.notes.is_empty() {
        out.push('\n');
        section.notes.iter().for_each(|note| out += &format!("- {}\n", plain(note)));
    }
    out
}

/// Text that Markdown shows as it is.
fn plain(words: &str) -> String {
    let words = escape::text(words);
    let mut out = String::with_capacity(words.len());
    let mut before = ' ';
    for (at, c) in words.char_indices() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '|' | '[' | ']' | '~' => out.extend(['\\', c]),
            // Inside a word an underscore is plain.
            '_' if !(before.is_alphanumeric() && words[at + 1..].starts_with(char::is_alphanumeric)) => {
                out.push_str("\\_");
            }
            // Marks of headings and lists stand at the beginning, mentions and links begin with these.
            '#' | '-' | '+' | '=' if out.is_empty() => out.extend(['\\', c]),
            '@' => out.push_str("&#64;"),
            ':' if words[at..].starts_with("://") => out.push_str("&#58;"),
            _ => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_shown_and_not_obeyed() {
        let cases = [
            ("fastcdc 5, 64 KiB (v2020)", "fastcdc 5, 64 KiB (v2020)"),
            ("a|b `c` *d* [e](f)", "a\\|b \\`c\\` \\*d\\* \\[e\\](f)"),
            ("<img src=x>&", "&lt;img src=x&gt;&amp;"),
            ("first_backup _x_", "first_backup \\_x\\_"),
            ("# head", "\\# head"),
            ("@all see https://x", "&#64;all see https&#58;//x"),
            ("line\nbreak", "line\\\\nbreak"),
        ];
        for (raw, shown) in cases {
            assert_eq!(plain(raw), shown);
        }
    }
}
