//! The table of the chart's values, out of the comments in values.yaml.

use anyhow::{Context, Result};
use serde_json::Value;

/// A value that somebody may set.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// As for `--set`: `image.tag`.
    pub path: String,
    /// The default.
    pub default: Value,
    /// The comment above it.
    pub description: String,
}

/// All values that have a comment, in the order of the file.
pub fn rows(values: &str) -> Result<Vec<Row>> {
    let parsed: Value = serde_yaml_ng::from_str(values).context("parse values.yaml")?;
    let mut rows = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in values.lines() {
        let text = line.trim_start();
        if let Some(words) = text.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        let said = std::mem::take(&mut comment).join(" ");
        let Some((key, _)) = text.split_once(':').filter(|(key, _)| !key.contains(['-', ' '])) else {
            continue;
        };
        path.truncate((line.len() - text.len()) / 2);
        path.push(key);
        if !said.is_empty() {
            let pointer = format!("/{}", path.join("/"));
            let default =
                parsed.pointer(&pointer).with_context(|| format!("values.yaml has no {pointer}"))?;
            rows.push(Row { path: path.join("."), default: default.clone(), description: said });
        }
    }
    Ok(rows)
}

/// As Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let description = row.description.replace('|', "\\|");
        format!("| `{}` | `{}` | {description} |\n", row.path, row.default)
    };
    format!("| Value | Default | Meaning |\n|---|---|---|\n{}", rows.iter().map(row).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_a_value_with_a_comment_and_what_lies_below_it_is_its_default() {
        let values = "# About the file.\n\nimage:\n  # Its\n  # name.\n  name: x\n  other: 1\n# All.\nlimits:\n  cpu: 2\n";

        let rows = rows(values).unwrap();

        let row = |path: &str, default, description: &str| Row {
            path: path.to_owned(),
            default,
            description: description.to_owned(),
        };
        assert_eq!(
            rows,
            [row("image.name", json!("x"), "Its name."), row("limits", json!({"cpu": 2}), "All.")]
        );
    }
}
