//! A choice that only the build can find wrong, and where it was made.

use std::ops::Deref;

use super::FILE;
use crate::exit::{Code, Fatal};

/// What was chosen, and the line of `pyproject.toml` that says so: none for the command line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Said<T> {
    value: T,
    line: Option<usize>,
}

impl<T> Said<T> {
    /// Chosen on the command line.
    pub fn on_command_line(value: T) -> Self {
        Self { value, line: None }
    }

    /// Chosen on this line of `pyproject.toml`.
    pub fn on_line(line: usize, value: T) -> Self {
        Self { value, line: Some(line) }
    }

    /// An error that this choice led to, with its place.
    pub fn locate(&self, error: Fatal) -> Fatal {
        match self.line {
            Some(line) if error.code() != Code::Interrupted => {
                Fatal::with_code(error.code(), format!("{FILE}, line {line}: {error}"))
            }
            _ => error,
        }
    }
}

impl<T> Deref for Said<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Fatal, Said};

    #[test]
    fn an_error_has_the_place_of_the_choice_that_led_to_it() {
        let error = |code| Fatal::with_code(code, "There is no x.");
        let placed = |said: Said<()>, code| said.locate(error(code)).to_string();
        assert_eq!(placed(Said::on_line(7, ()), Code::Failed), "pyproject.toml, line 7: There is no x.");
        assert_eq!(placed(Said::on_command_line(()), Code::Failed), "There is no x.");
        assert_eq!(placed(Said::on_line(7, ()), Code::Interrupted), "There is no x.");
        assert_eq!(Said::on_line(7, ()).locate(error(Code::Usage)).code(), Code::Usage);
    }
}
