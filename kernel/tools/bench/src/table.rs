//! All that is measured goes into tables of one form: printed, saved as JSON, drawn.

use std::io::{IsTerminal, stderr};
use std::{fmt, iter};

use serde::{Serialize, Serializer};

/// A table: a cell for each row and column, each with a value of every round.
#[derive(Debug, Serialize)]
pub struct Table {
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    pub note: &'static str,
}

/// A line of a table.
#[derive(Debug, Serialize)]
pub struct Row {
    pub group: Group,
    /// The thing measured. With two spaces before it: something else about the row above.
    pub name: String,
    pub cells: Vec<Samples>,
}

/// Something that can be measured: a row of a table.
pub struct Contender<M> {
    pub name: &'static str,
    pub group: Group,
    /// Makes it, anew for each measurement.
    pub make: M,
}

/// The origin of a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// A variant of `rundown`.
    Ours,
    /// The same, with its feature `diagnosis`.
    Diagnosis,
    /// Another library.
    Peer,
    /// A well-known kernel's scheme, rebuilt here.
    Shape,
    /// The bare instructions, which nothing of their sort can beat.
    Limit,
}

impl Table {
    /// Measures each contender in each column once a round. It has a row, and one for each of
    /// `more` below it; `measure` returns a value for each, or none for cells that stay empty.
    ///
    /// All cells are measured once before any is measured again, forwards and backwards in turn:
    /// none is always first after the same neighbour.
    pub fn measured<M, C: ToString>(
        rounds: usize,
        title: impl Into<String>,
        columns: &[C],
        contenders: &[Contender<M>],
        more: &[&str],
        measure: impl Fn(&M, &C) -> Vec<f64>,
    ) -> Self {
        let mut table = Self {
            title: title.into(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            note: "",
        };
        let mut cases = Vec::new();
        for Contender { name, group, make } in contenders {
            cases.extend(columns.iter().enumerate().map(|case| (table.rows.len(), make, case)));
            iter::once(name).chain(more).for_each(|name| table.add(*group, name));
        }
        for round in 1..=rounds {
            progress(&format!("{}, round {round}", table.title));
            for &(row, make, (column, value)) in &cases {
                for (row, value) in table.rows[row..].iter_mut().zip(measure(make, value)) {
                    row.cells[column].0.push(value);
                }
            }
            cases.reverse();
        }
        table
    }

    /// One more row, without figures.
    pub fn add(&mut self, group: Group, name: &str) {
        let cells = vec![Samples::default(); self.columns.len()];
        self.rows.push(Row { group, name: name.to_owned(), cells });
    }

    /// One more column, made of those that there are, round by round.
    pub fn derive(&mut self, column: &str, cell: impl Fn(&Row) -> Samples) {
        self.columns.push(column.to_owned());
        for row in &mut self.rows {
            row.cells.push(cell(row));
        }
    }

    /// Groups one after the other, the cheapest row of each first.
    pub fn sort(&mut self) {
        let first = |row: &Row| row.cells[0].median().unwrap_or(f64::INFINITY);
        self.rows.sort_by(|a, b| a.group.cmp(&b.group).then(first(a).total_cmp(&first(b))));
    }

    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// For people: one line, which the next overwrites.
pub fn progress(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}

/// For a terminal.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}\n{:46}", self.title, "")?;
        let width = |column: &String| column.len().max(7) + 1;
        // More would make it too wide: their spread is in the JSON file.
        let has_spread = self.columns.len() <= 6;
        let room = if has_spread { 6 } else { 0 };
        for column in &self.columns {
            write!(f, "{column:>0$}{1:room$}", width(column), "")?;
        }
        writeln!(f)?;
        let mut group = None;
        for row in &self.rows {
            if group.replace(row.group) != Some(row.group) {
                writeln!(f, "{:?}", row.group)?;
            }
            write!(f, "  {:44}", row.name)?;
            for (column, cell) in self.columns.iter().zip(&row.cells) {
                let figure = cell.median().map_or_else(|| "-".to_owned(), shown);
                let spread = match cell.percent() {
                    Some(percent) if has_spread && cell.0.len() > 1 => format!(" ±{percent:.0}%"),
                    _ => String::new(),
                };
                write!(f, "{figure:>0$}{spread:room$}", width(column))?;
            }
            writeln!(f)?;
        }
        f.write_str(self.note)
    }
}

/// With as many digits as mean something.
fn shown(figure: f64) -> String {
    let digits =
        if figure.fract() == 0.0 || figure >= 100.0 { 0 } else { 2 - usize::from(figure >= 10.0) };
    format!("{figure:.digits$}")
}

/// The values of one cell: one a round.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The value below which this part of the values lies, interpolated; `None` without values.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = part * sorted.len().checked_sub(1)? as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        Some(sorted[below] + (sorted[above] - sorted[below]) * place.fract())
    }

    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// Half the distance of the quartiles, in percent of the median; `None` if that is 0.
    pub fn percent(&self) -> Option<f64> {
        let half = (self.quantile(0.75)? - self.quantile(0.25)?) / 2.0;
        self.median().filter(|median| *median != 0.0).map(|median| half / median * 100.0)
    }

    /// So many times its ratio to another cell, each pair taken in the same round: a machine that
    /// is slow for a while slows both.
    pub fn to(&self, other: &Self, times: f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b * times).collect())
    }
}

/// The quartiles, the median in the middle; or null.
impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [0.25, 0.5, 0.75].map(|part| self.quantile(part)).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn one_bad_round_does_not_count() {
        let rounds = Samples(vec![3.0, 1.0, 2.0, 1000.0, 4.0]);
        assert_eq!(rounds.median(), Some(3.0));
        assert!((rounds.percent().expect("values") - 100.0 / 3.0).abs() < 1e-9);
        assert_eq!(Samples(vec![1.0, 2.0]).median(), Some(1.5));
        assert_eq!(Samples(vec![0.0, 0.0]).percent(), None);
        assert_eq!(Samples::default().median(), None);
    }

    #[test]
    fn rounds_go_forwards_and_backwards_and_rows_are_sorted() {
        let calls = Cell::new(0.0);
        let both = ["1st", "2nd"].map(|name| Contender { name, group: Group::Ours, make: () });
        let mut table = Table::measured(3, "title", &[1, 2], &both, &["  twice"], |(), _| {
            calls.set(calls.get() + 1.0);
            vec![calls.get(), 2.0 * calls.get()]
        });
        table.add(Group::Limit, "unknown");
        let first = table.rows[0].cells[0].clone();
        table.derive("to 1st", |row| row.cells[0].to(&first, 1.0));
        let cell = |row: usize, column: usize| &table.rows[row].cells[column].0[..];
        assert_eq!(cell(0, 0), [1.0, 8.0, 9.0]);
        assert_eq!(cell(2, 1), [4.0, 5.0, 12.0]);
        assert_eq!(cell(3, 0), [6.0, 12.0, 22.0]);
        // Within rounds.
        assert_eq!(cell(2, 2), [3.0, 6.0 / 8.0, 11.0 / 9.0]);
        table.sort();
        let names: Vec<&str> = table.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["2nd", "1st", "  twice", "  twice", "unknown"]);
        let text = table.to_string();
        for shown in ["title", "Ours\n", "8 ±25%", "1.22 ", " -"] {
            assert!(text.contains(shown), "{shown} is missing in:\n{text}");
        }
    }
}
