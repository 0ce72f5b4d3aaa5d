//! The access log's format, read once at the start: what `--access-logformat` says becomes a list of atoms.

use http::{HeaderName, header};

use crate::wire::Field;

/// One thing that a line says of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Atom {
    RemoteAddr,
    /// The target as it came: only JSON has it by itself.
    Target,
    /// `l`: the remote log name (RFC 1413), which nobody knows.
    LogName,
    /// The user of basic authentication, whose field is the captured one with this index.
    User(usize),
    Time,
    RequestLine,
    Status,
    Method,
    Query,
    Protocol,
    Sent,
    Seconds,
    Microseconds,
    Milliseconds,
    Decimal,
    ProcessId,
    RequestField(usize),
    ResponseField(usize),
    /// A variable of the environ as the app left it.
    Variable(usize),
    /// One that gunicorn does not know either, and writes as `-`.
    Unknown,
}

/// A part of a line: what an atom says, and the text in front of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// The text in front.
    pub before: Literal,
    /// What there is to say.
    pub atom: Atom,
    /// How it stands in its field, where that is not as wide as it is itself.
    pub shape: Option<Shape>,
}

/// What stands between the atom and the `s`, as in Python: `%(s)-5s`, `%(a).20s`, `%(D)08d`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Shape {
    /// The least width of the field: to the left in it where that is negative.
    pub width: i16,
    /// Whether a number is filled up with zeros.
    pub zeros: bool,
    /// The most characters that are written.
    pub most: Option<u16>,
}

/// Text between atoms. As a rule that is a space or a quote, and to call for a copy of it would cost more than the copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Literal {
    /// So many of these bytes.
    Short([u8; 8], usize),
    /// More than have room there.
    Long(String),
}

impl Default for Literal {
    fn default() -> Self {
        Self::Short([0; 8], 0)
    }
}

impl From<String> for Literal {
    fn from(text: String) -> Self {
        let mut bytes = [0; 8];
        match bytes.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text.as_bytes());
                Self::Short(bytes, text.len())
            }
            None => Self::Long(text),
        }
    }
}

impl Literal {
    /// Appends the text.
    pub fn write(&self, line: &mut Vec<u8>) {
        match self {
            Self::Short(bytes, length) => {
                let end = line.len() + length;
                line.extend_from_slice(bytes);
                line.truncate(end);
            }
            Self::Long(text) => line.extend_from_slice(text.as_bytes()),
        }
    }
}

/// A format, and what of a request it needs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Format {
    /// The parts of a line.
    pub parts: Vec<Part>,
    /// The text behind them, with the end of the line.
    pub end: Literal,
    /// What they need.
    pub needs: Needs,
    /// The atoms that do not exist.
    pub unknown: Vec<String>,
}

/// What has to be kept of a request until its line is written. Nothing else is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Needs {
    /// Fields of the request, in small letters.
    pub request_fields: Vec<String>,
    /// Fields of the answer, as they are sent.
    pub response_fields: Vec<String>,
    /// Variables of the environ, as the app leaves them. The first is always `REMOTE_ADDR`: a middleware that knows the
    /// proxies in front may have replaced it.
    pub variables: Vec<String>,
    /// How long the request took.
    pub duration: bool,
    /// What is behind the question mark, apart from the target.
    pub query: bool,
    /// A bit for each length that a name of `request_fields` has, which tells most fields from those.
    lengths: u64,
}

/// What is wrong with a format.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what} at position {position}")]
pub struct FormatError {
    /// What is wrong, in words.
    pub what: String,
    /// Where, counted in characters from 1.
    pub position: usize,
}

impl Needs {
    /// Nothing but what every line may need.
    pub fn new() -> Self {
        Self { variables: vec!["REMOTE_ADDR".to_owned()], ..Self::default() }
    }

    /// The index of a field of the request, which is needed.
    pub fn request_field(&mut self, name: &HeaderName) -> usize {
        self.lengths |= 1 << (name.as_str().len() % 64);
        index(&mut self.request_fields, name.as_str().to_owned())
    }

    /// Takes the values of the fields that are needed, of one that is repeated the last.
    pub fn take<'a>(&self, fields: impl Iterator<Item = Field<'a>>, values: &mut [Option<&'a [u8]>]) {
        for field in fields.filter(|field| self.lengths >> (field.name.len() % 64) & 1 == 1) {
            for (value, name) in values.iter_mut().zip(&self.request_fields) {
                if field.is(name) {
                    *value = Some(field.value);
                }
            }
        }
    }

    fn atom(&mut self, name: &str) -> Option<Atom> {
        Some(match name {
            "h" => Atom::RemoteAddr,
            "l" => Atom::LogName,
            "u" => Atom::User(self.request_field(&header::AUTHORIZATION)),
            "t" => Atom::Time,
            "r" => Atom::RequestLine,
            "s" => Atom::Status,
            "m" => Atom::Method,
            "U" => Atom::Variable(index(&mut self.variables, "PATH_INFO".to_owned())),
            "q" => {
                self.query = true;
                Atom::Query
            }
            "H" => Atom::Protocol,
            "b" | "B" => Atom::Sent,
            "f" => Atom::RequestField(self.request_field(&header::REFERER)),
            "a" => Atom::RequestField(self.request_field(&header::USER_AGENT)),
            "T" => self.timed(Atom::Seconds),
            "D" => self.timed(Atom::Microseconds),
            "M" => self.timed(Atom::Milliseconds),
            "L" => self.timed(Atom::Decimal),
            "p" => Atom::ProcessId,
            _ => {
                let (name, kind) = name.strip_prefix('{')?.rsplit_once('}')?;
                match kind {
                    "i" => Atom::RequestField(self.request_field(&field(name)?)),
                    "o" => Atom::ResponseField(index(&mut self.response_fields, field(name)?.as_str().to_owned())),
                    "e" if !name.is_empty() => Atom::Variable(index(&mut self.variables, name.to_owned())),
                    _ => return None,
                }
            }
        })
    }

    fn timed(&mut self, atom: Atom) -> Atom {
        self.duration = true;
        atom
    }
}

fn field(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

fn index<T: PartialEq>(known: &mut Vec<T>, wanted: T) -> usize {
    known.iter().position(|known| *known == wanted).unwrap_or_else(|| {
        known.push(wanted);
        known.len() - 1
    })
}

impl Format {
    /// Reads a format: `%(ATOM)s`, with a [`Shape`] where one is given, `%%`, and text.
    ///
    /// # Errors
    /// What is not written as an atom, and where: gunicorn would not write a line then, but an error for each.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut format = Self { needs: Needs::new(), ..Self::default() };
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            let position = text[..text.len() - rest.len() + at].chars().count() + 1;
            let error = |what: String| FormatError { what, position };
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let (name, conversion) = after
                .strip_prefix('(')
                .and_then(|after| after.split_once(')'))
                .ok_or_else(|| error("a % that begins no atom like %(h)s; a percent sign is written %%".to_owned()))?;
            let atom = format.needs.atom(name).unwrap_or_else(|| {
                format.unknown.push(format!("%({name})s"));
                Atom::Unknown
            });
            let (shape, after) = shape(conversion, &atom).ok_or_else(|| {
                error(format!("the atom %({name}) without an s behind it, which is how an atom is written: %({name})s"))
            })?;
            rest = after;
            if (&atom, shape) == (&Atom::LogName, None) {
                literal.push('-');
                continue;
            }
            format.parts.push(Part { before: std::mem::take(&mut literal).into(), atom, shape });
        }
        literal.push_str(rest);
        literal.push('\n');
        format.end = literal.into();
        Ok(format)
    }
}

/// What stands in front of a conversion, and what follows it. Numbers may be written with `d` as well.
fn shape<'a>(conversion: &'a str, atom: &Atom) -> Option<(Option<Shape>, &'a str)> {
    let numeric = matches!(atom, Atom::Sent | Atom::Seconds | Atom::Microseconds | Atom::Milliseconds);
    let flags = conversion.len() - conversion.trim_start_matches(['-', '0']).len();
    let (flags, rest) = conversion.split_at(flags);
    let (width, rest) = number(rest)?;
    let width = i16::try_from(width).ok()?;
    let (most, rest) = match rest.strip_prefix('.') {
        Some(rest) => number(rest).map(|(most, rest)| (Some(most), rest))?,
        None => (None, rest),
    };
    let (digits, rest) = match rest.strip_prefix('s') {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix('d').filter(|_| numeric && most.is_none())?),
    };
    let left = flags.contains('-');
    let zeros = digits && !left && flags.contains('0');
    let shape = Shape { width: if left { -width } else { width }, zeros, most };
    Some((Some(shape).filter(|shape| shape.width != 0 || shape.most.is_some()), rest))
}

/// A number of characters, 0 where there is none, and what follows it.
fn number(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = if end == 0 { 0 } else { text[..end].parse().ok().filter(|number| *number <= 1000)? };
    Some((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::{Atom, Field, Format, Literal, Part, Shape};

    fn atoms(format: &str) -> Vec<Atom> {
        Format::parse(format).expect("a valid format").parts.into_iter().map(|part| part.atom).collect()
    }

    #[test]
    fn every_atom_of_gunicorns_is_known() {
        for name in "hutrsmUqHbBfaTDMLp".chars() {
            assert_eq!(atoms(&format!("%({name})s")).len(), 1, "{name}");
        }
        let format = Format::parse("%(l)s").expect("valid");
        assert_eq!((&format.parts[..], format.end), (&[][..], "-\n".to_owned().into()));
        assert_eq!(atoms("%({X-A}i)s %({X-A}o)s %({X_A}e)s").len(), 3);
    }

    #[test]
    fn a_format_needs_what_its_atoms_need_and_no_more() {
        let format =
            Format::parse("%({X-A}i)s %({x-a}i)s %({X-B}o)s %({REMOTE_USER}e)s %({REMOTE_ADDR}e)s").expect("valid");
        assert_eq!(format.needs.request_fields, ["x-a"]);
        assert_eq!(format.needs.response_fields, ["x-b"]);
        assert_eq!(format.needs.variables, ["REMOTE_ADDR", "REMOTE_USER"]);
        assert!(!format.needs.duration);
        assert!(Format::parse("%(L)s").expect("valid").needs.duration);
    }

    #[test]
    fn of_the_fields_those_that_are_needed_are_taken_and_the_last_counts() {
        let needs = Format::parse("%(f)s %({x-b}i)s %({x-c}i)s").expect("valid").needs;
        let long = "x".repeat(64 + "x-b".len());
        let sent = [("X-B", "1"), ("x-b", "2"), (&long, "3"), ("REFERER", "4"), ("x-d", "5")];
        let fields = sent.iter().map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() });
        let mut values = [None; 3];
        needs.take(fields, &mut values);
        assert_eq!(values, [Some(&b"4"[..]), Some(b"2"), None]);
    }

    #[test]
    fn text_and_percent_signs_are_kept() {
        let format = Format::parse("100%% %(s)5s|%(D)-08d%(D)08d\n%(a).20s.").expect("valid");
        let text = |text: &str| Literal::from(text.to_owned());
        let shape = |width, zeros, most| Some(Shape { width, zeros, most });
        let agent = Atom::RequestField(0);
        assert_eq!(
            format.parts,
            [
                Part { before: text("100% "), atom: Atom::Status, shape: shape(5, false, None) },
                Part { before: text("|"), atom: Atom::Microseconds, shape: shape(-8, false, None) },
                Part { before: text(""), atom: Atom::Microseconds, shape: shape(8, true, None) },
                Part { before: text("\n"), atom: agent, shape: shape(0, false, Some(20)) },
            ]
        );
        assert_eq!(format.end, text(".\n"));
    }

    #[test]
    fn what_is_no_atom_is_named_and_has_a_place_in_the_line() {
        for atom in ["%(Z)s", "%({x}z)s", "%({bad name}i)s", "%({}e)s"] {
            let format = Format::parse(&format!("é {atom}")).expect("valid");
            assert_eq!(
                (&format.unknown[..], &format.parts[0]),
                (&[atom.to_owned()][..], &Part { before: "é ".to_owned().into(), atom: Atom::Unknown, shape: None })
            );
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (format, expected) in [
            ("50%", "a % that begins no atom like %(h)s; a percent sign is written %% at position 3"),
            ("%h", "a % that begins no atom like %(h)s; a percent sign is written %% at position 1"),
            ("%(h", "a % that begins no atom like %(h)s; a percent sign is written %% at position 1"),
            ("%(h)", "the atom %(h) without an s behind it, which is how an atom is written: %(h)s at position 1"),
            ("%(s)d", "the atom %(s) without an s behind it, which is how an atom is written: %(s)s at position 1"),
            ("%(D).2d", "the atom %(D) without an s behind it, which is how an atom is written: %(D)s at position 1"),
        ] {
            assert_eq!(Format::parse(format).expect_err(format).to_string(), expected);
        }
    }
}
