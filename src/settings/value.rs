//! The value of a setting, from wherever it comes, before and after it is checked.

use std::fmt;

use serde::Deserialize;

/// What a source gives: text on the command line, what Python has in a configuration file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// A list, a tuple or a set.
    List(Vec<Value>),
    /// A dict. What JSON does not know is in it as Python would print it.
    Map(serde_json::Map<String, serde_json::Value>),
    /// A function.
    Function {
        /// Its name, qualified within its module.
        name: String,
        /// How many positional arguments it has.
        arity: u8,
    },
    /// A class, by its module and name.
    Class(String),
    /// Anything else, as Python would print it.
    Other(String),
}

impl Value {
    /// Whether it is there and true.
    pub fn is_true(&self) -> bool {
        *self == Self::Flag(true)
    }

    /// The text, where it is not empty.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The texts of a list.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::List(values) => values.iter().filter_map(Self::text).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// As Python's `repr`.
    pub(super) fn repr(&self) -> String {
        match self {
            Self::Text(text) => repr(text),
            other => other.to_string(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// As Python's `str`, which is how gunicorn prints its configuration.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Flag(true) => f.write_str("True"),
            Self::Flag(false) => f.write_str("False"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) | Self::Other(text) => f.write_str(text),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(Self::repr).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Self::Map(map) => {
                let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{}: {}", repr(key), json(value))).collect();
                write!(f, "{{{}}}", pairs.join(", "))
            }
            Self::Function { name, .. } => write!(f, "<{name}()>"),
            Self::Class(name) => f.write_str(name),
        }
    }
}

fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c == quote => shown.extend(['\\', c]),
            c => shown.push(c),
        }
    }
    shown.push(quote);
    shown
}

fn json(value: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match value {
        Json::Null => "None".to_owned(),
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => repr(text),
        Json::Array(values) => format!("[{}]", values.iter().map(json).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{}: {}", repr(key), json(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn values_are_printed_as_python_prints_them() {
        assert_eq!(Value::from("it's").to_string(), "it's");
        let list = Value::List(vec![Value::from("a"), Value::from("it's"), Value::from("\\ \n"), Value::None]);
        assert_eq!(list.to_string(), r#"['a', "it's", '\\ \n', None]"#);
        let map = serde_json::from_str(r#"{"A": "b", "c": [1, true, null], "d": {"e": 1.5}}"#).expect("valid JSON");
        assert_eq!(Value::Map(map).to_string(), "{'A': 'b', 'c': [1, True, None], 'd': {'e': 1.5}}");
    }

    #[test]
    fn what_python_sends_is_understood() {
        let sent = r#"["none", {"flag": true}, {"number": 5}, {"text": "x"}, {"list": [{"text": "y"}]},
            {"function": {"name": "pre_fork", "arity": 2}}, {"class": "a.B"}, {"other": "1.5"}]"#;
        let values: Vec<Value> = serde_json::from_str(sent).expect("they are values");
        let shown: Vec<_> = values.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["None", "True", "5", "x", "['y']", "<pre_fork()>", "a.B", "1.5"]);
    }
}
