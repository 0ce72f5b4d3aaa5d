//! A record on disk: its digest, then its bytes; for what was made of files, those files first. Damage reads as absence.

use std::{io, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::touch;
use crate::image::layer::{digest, inputs::Inputs};

#[derive(Serialize)]
struct Written<'a, T> {
    inputs: &'a Inputs,
    value: &'a T,
}

#[derive(Deserialize)]
struct Read<T> {
    inputs: Inputs,
    value: T,
}

pub fn bytes<T: Serialize>(inputs: &Inputs, value: &T) -> io::Result<Vec<u8>> {
    Ok(sealed(&serde_json::to_vec(&Written { inputs, value })?))
}

pub fn sealed(content: &[u8]) -> Vec<u8> {
    [digest::of(content).as_bytes(), b"\n", content].concat()
}

pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let record: Read<T> = serde_json::from_slice(&read_bytes(path)?).ok()?;
    record.inputs.are_unchanged().then_some(record.value)
}

pub fn read_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut content = std::fs::read(path).ok()?;
    let start = content.iter().position(|byte| *byte == b'\n')? + 1;
    let intact = digest::of(&content[start..]).as_bytes() == &content[..start - 1];
    touch(path);
    intact.then(|| content.split_off(start))
}
