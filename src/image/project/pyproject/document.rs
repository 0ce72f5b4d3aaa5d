//! A `pyproject.toml` whose values know their lines, for errors that say where.

use toml::{Spanned, de::DeTable, de::DeValue};

use crate::{exit::Fatal, image::choices::FILE};

/// A value, and where it stands.
#[derive(Clone)]
pub struct At<'a> {
    text: &'a str,
    /// Its name with those of the tables that it is in.
    pub key: String,
    value: &'a DeValue<'a>,
    start: usize,
}

/// Reads the file's text.
pub fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Fatal> {
    DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Fatal::new(format!("{FILE} cannot be read: line {}: {}. Correct it.", line(text, start), error.message()))
    })
}

/// The value at `key` of a table, if it is there.
pub fn find<'a>(text: &'a str, root: &'a DeTable<'a>, key: &[&str]) -> Option<At<'a>> {
    let (first, rest) = key.split_first()?;
    let value = root.get(*first)?;
    let at = At { text, key: (*first).to_owned(), value: value.get_ref(), start: value.span().start };
    rest.iter().try_fold(at, |at, name| at.get(name))
}

fn line(text: &str, start: usize) -> usize {
    text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count() + 1
}

impl<'a> At<'a> {
    /// The value of this name in a table; nothing in what is no table.
    pub fn get(&self, name: &str) -> Option<Self> {
        let value = self.value.as_table()?.get(name)?;
        Some(self.below(name, value))
    }

    fn below(&self, name: &str, value: &'a Spanned<DeValue<'a>>) -> Self {
        let key = format!("{}.{name}", self.key);
        Self { text: self.text, key, value: value.get_ref(), start: value.span().start }
    }

    /// The number of its line, from 1.
    pub fn line(&self) -> usize {
        line(self.text, self.start)
    }

    /// The error for a value that cannot be: `why` follows its name.
    pub fn refuse(&self, why: &str) -> Fatal {
        Fatal::new(format!("{FILE}, line {}: {} {why}. Correct it.", self.line(), self.key))
    }

    /// The same for a value of the wrong type.
    fn is_not(&self, expected: &str) -> Fatal {
        self.refuse(&format!("is not {expected} but {}", self.value.type_str()))
    }

    /// A text.
    pub fn text(&self) -> Result<&'a str, Fatal> {
        self.value.as_str().ok_or_else(|| self.is_not("a string"))
    }

    /// True or false, if it is that.
    pub fn flag(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A whole number, if it is one.
    pub fn number(&self) -> Option<i64> {
        let integer = self.value.as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// A list.
    pub fn list(&self) -> Result<Vec<Self>, Fatal> {
        let array = self.value.as_array().ok_or_else(|| self.is_not("a list"))?;
        let at = |value: &'a Spanned<DeValue<'a>>| Self {
            text: self.text,
            key: self.key.clone(),
            value: value.get_ref(),
            start: value.span().start,
        };
        Ok(array.iter().map(at).collect())
    }

    /// A table: names and values.
    pub fn table(&self) -> Result<Vec<(String, Self)>, Fatal> {
        let table = self.value.as_table().ok_or_else(|| self.is_not("a table"))?;
        let mut entries: Vec<_> = table
            .iter()
            .map(|(name, value)| {
                // The name's line, where the value may go on for several.
                let at = Self { start: name.span().start, ..self.below(name.get_ref(), value) };
                (name.get_ref().to_string(), at)
            })
            .collect();
        entries.sort_by_key(|(_, at)| at.start);
        Ok(entries)
    }
}
