//! The chart: what it renders, what the API server says to it, what its policies and rights stop and let through.

mod features;
mod installed;
mod objects;
mod policies;
mod releases;
mod rights;
mod server;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::{chart, helm::Helm};
use serde_json::Value;

/// Values files for all that the chart can be: its `ci` folder.
fn values_files() -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(chart::dir().join("ci"))?.map(|file| Ok(file?.path()));
    let mut files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    files.sort();
    ensure!(files.len() == 5, "{files:?}");
    Ok(files)
}

/// The objects that the chart renders to with these values.
fn rendered(values: &Path) -> Result<Vec<Value>> {
    let helm = Helm::find_or_build()?;
    let values = values.display().to_string();
    chart::objects(&chart::template(&helm, &["--values", &values])?).with_context(|| values.clone())
}

/// The same with each of the values files, and its name.
fn all_rendered() -> Result<Vec<(String, Vec<Value>)>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    values_files()?.iter().map(|file| Ok((name(file), rendered(file)?))).collect()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Kind and name, for messages.
fn label(object: &Value) -> String {
    format!("{} {}", kind(object), name(object))
}

fn find<'a>(objects: &'a [Value], wanted_kind: &str, wanted_name: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|object| kind(object) == wanted_kind && name(object) == wanted_name);
    found.with_context(|| format!("there is no {wanted_kind} {wanted_name}"))
}

#[tokio::test]
async fn generated_files_are_up_to_date() -> Result<()> {
    let helm = tokio::task::spawn_blocking(Helm::find_or_build).await??;
    chart::outdated(&chart::generated(&helm).await?)
}
