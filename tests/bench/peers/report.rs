//! The table of medians with each daemon's ratio to ours, and all values as JSON.

use std::fmt::Write as _;

/// The topic of a row; rows are sorted by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The cost of the commands.
    #[default]
    Programs,
    /// The costs of many crontabs.
    ManyTables,
    /// The costs of many jobs at once.
    Burst,
    /// The response times under load.
    ReloadLatency,
    /// The costs of very many entries.
    Entries,
    /// The response times of cronctl.
    Queries,
}

/// All measurements of a run.
#[derive(Debug, Default)]
pub struct Report {
    part: Part,
    rows: Vec<Row>,
    notes: Vec<String>,
    names: Vec<&'static str>,
}

#[derive(Debug)]
struct Row {
    part: Part,
    what: String,
    values: Vec<(&'static str, Vec<f64>)>,
}

impl Report {
    /// Runs `act`; the rows it adds belong to `part`.
    pub fn within(&mut self, part: Part, act: impl FnOnce(&mut Report)) {
        let before = std::mem::replace(&mut self.part, part);
        act(self);
        self.part = before;
    }

    /// Adds one measurement.
    pub fn add(&mut self, what: &str, name: &'static str, value: f64) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        let at = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
            self.rows.push(Row { part: self.part, what: what.to_owned(), values: Vec::new() });
            self.rows.len() - 1
        });
        let values = &mut self.rows[at].values;
        match values.iter_mut().find(|(who, _)| *who == name) {
            Some((_, values)) => values.push(value),
            None => values.push((name, vec![value])),
        }
    }

    /// Adds a remark about the run.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The medians as a Markdown table, with the ratio to ours in brackets.
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.notes.iter().for_each(|note| writeln!(text, "* {note}").expect("memory"));
        writeln!(text, "\n| | {} |", self.names.join(" | ")).expect("memory");
        writeln!(text, "| --- |{}", " ---: |".repeat(self.names.len())).expect("memory");
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.part);
        for row in rows {
            write!(text, "| {} |", row.what).expect("memory");
            let ours = row.median("ours");
            for name in &self.names {
                match (row.median(name), ours) {
                    (None, _) => text.push_str(" - |"),
                    (Some(value), Some(ours)) if *name != "ours" && ours > 0.0 => {
                        write!(text, " {} ({}x) |", short(value), short(value / ours)).expect("memory");
                    }
                    (Some(value), _) => write!(text, " {} |", short(value)).expect("memory"),
                }
            }
            text.push('\n');
        }
        text
    }

    /// Every single value.
    pub fn json(&self) -> String {
        let rows: serde_json::Map<String, serde_json::Value> = self
            .rows
            .iter()
            .map(|row| {
                let values = row.values.iter().map(|(name, values)| ((*name).to_owned(), serde_json::json!(values)));
                (row.what.clone(), serde_json::Value::Object(values.collect()))
            })
            .collect();
        serde_json::json!({ "notes": self.notes, "rows": rows }).to_string()
    }
}

impl Row {
    fn median(&self, name: &str) -> Option<f64> {
        let (_, values) = self.values.iter().find(|(who, _)| *who == name)?;
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

/// Formats a value with three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 1.0 => format!("{value:.3}"),
        small if small < 10.0 => format!("{value:.2}"),
        small if small < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
