//! The table at the end.

use std::fmt::Write as _;

use crate::row::{Row, Sample};

/// All samples, by row and server, in the order in which they came.
#[derive(Default)]
pub(crate) struct Report(Vec<Line>);

struct Line {
    row: Row,
    server: String,
    samples: Vec<Sample>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row, server: &str, sample: Sample) {
        let known = self
            .0
            .iter_mut()
            .find(|line| line.row == row && line.server == server);
        match known {
            Some(line) => line.samples.push(sample),
            None => self.0.push(Line {
                row,
                server: server.to_owned(),
                samples: vec![sample],
            }),
        }
    }

    /// A table a row: medians, in brackets the least and the most, and ratios of the medians.
    pub(crate) fn markdown(&self, against: &[String]) -> String {
        let mut text = String::new();
        for row in Row::ALL {
            let lines: Vec<_> = self.0.iter().filter(|line| line.row == row).collect();
            if !lines.is_empty() {
                table(&mut text, row, &lines, against);
            }
        }
        text
    }
}

fn table(text: &mut String, row: Row, lines: &[&Line], against: &[String]) {
    let others: Vec<_> = lines
        .iter()
        .filter(|line| against.contains(&line.server))
        .collect();
    let columns = row.columns();
    let mut header = format!("| server | {} |", columns.join(" | "));
    let [first, second] = [columns[0], columns[1]];
    for other in &others {
        let _ = write!(header, " of {0}: {first} | {second} |", other.server);
    }
    let rule = "| --- ".repeat(1 + columns.len() + 2 * others.len());
    let _ = writeln!(
        text,
        "\n{}: {}\n\n{header}\n{rule}|",
        row.name(),
        row.title()
    );
    for line in lines {
        let _ = write!(text, "| {} |", line.server);
        for column in 0..columns.len() {
            let _ = write!(text, " {} |", line.spread(column));
        }
        for other in &others {
            let [first, second] = [0, 1].map(|column| line.median(column) / other.median(column));
            let _ = write!(text, " x{first:.2} | x{second:.2} |");
        }
        text.push('\n');
    }
}

impl Line {
    fn sorted(&self, column: usize) -> Vec<f64> {
        let mut figures: Vec<_> = self.samples.iter().map(|sample| sample[column]).collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    /// The middle figure, or the mean of the two in the middle.
    fn median(&self, column: usize) -> f64 {
        let figures = self.sorted(column);
        let middle = figures.len() / 2;
        match figures.len() % 2 {
            0 => f64::midpoint(figures[middle - 1], figures[middle]),
            _ => figures[middle],
        }
    }

    fn spread(&self, column: usize) -> String {
        let figures = self.sorted(column);
        let [least, median, most] = [figures[0], self.median(column), figures[figures.len() - 1]];
        let digits = if median < 100.0 { 2 } else { 0 };
        format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_compare_medians_of_the_same_row() {
        let mut report = Report::default();
        for total in [9.0, 1.0, 2.0] {
            report.add(Row::Echo1, "floor", vec![total, 1.0, 100.0]);
        }
        report.add(Row::Echo1, "peer", vec![3.0, 2.0, 200.0]);
        report.add(Row::Idle, "floor", vec![1.0, 1.0, 1.0]);

        let text = report.markdown(&["floor".to_owned()]);

        assert!(text.contains("| floor | 2.00 (1.00 to 9.00) |"), "{text}");
        assert!(
            text.contains("| 200 (200 to 200) | x1.50 | x2.00 |"),
            "{text}"
        );
    }
}
