//! Text for people: tables, counts, foreign text on a terminal. Pure; knows nothing of what it lays out.

use std::fmt::{self, Write};

/// A table; the first `left` columns are text, the others numbers. Rows may have different lengths.
pub(crate) fn table(out: &mut dyn Write, left: usize, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if at == 0 { "" } else { "  " };
            if at < left {
                write!(line, "{gap}{cell:<width$}")?;
            } else {
                write!(line, "{gap}{cell:>width$}")?;
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Cells as [`table`] takes them.
pub(crate) fn cells(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// `1 file`, `2 files`.
pub(crate) fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Foreign text as it may go to a terminal: one line, at most `longest` characters, and nothing in it that a
/// terminal would obey.
pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (at, char) in text.chars().enumerate() {
        if at == longest {
            shown.push_str("...");
            break;
        }
        if char.is_control() || is_direction(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Marks that turn the direction of what follows on the line.
fn is_direction(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_left_and_numbers_right() {
        let mut out = String::new();
        table(&mut out, 1, &[cells(&["topic", "rows"]), cells(&["a", "10000"])]).unwrap();
        assert_eq!(out, "topic   rows\na      10000\n");
    }

    #[test]
    fn a_terminal_is_never_told_what_to_do() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{202e}c", 100), "a\\u{1b}[2Jb\\n\\u{202e}c");
    }

    #[test]
    fn long_text_is_shortened_between_characters() {
        assert_eq!(printable("größe", 3), "grö...");
    }
}
