//! Header fields in their order, with their names as they were written.

use bytes::Bytes;

use super::syntax;

/// The fields of a request or an answer. Cheap to clone only where [`Bytes`] are: keep it behind an `Arc`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields {
    /// What the places below refer to.
    text: Bytes,
    places: Vec<Place>,
}

/// Where a field's name and value stand. A head has less than 4 GiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    name: (u32, u32),
    value: (u32, u32),
}

/// One field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// The name, a token.
    pub name: &'a [u8],
    /// The value, without spaces around it.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        syntax::same_name(self.name, name.as_bytes())
    }
}

impl Fields {
    /// The bytes of the head.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Drops the fields that `keep` does not keep.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let text = &self.text;
        self.places.retain(|place| keep(place.field(text)));
    }

    /// Gives the fields with this name another value, which stands in the bytes too.
    pub(super) fn replace(&mut self, name: &str, value: std::ops::Range<usize>) {
        let (text, value) = (&self.text, (small(value.start), small(value.end)));
        self.places.iter_mut().filter(|place| place.field(text).is(name)).for_each(|place| place.value = value);
    }

    /// Every field in its order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.places.iter().map(|place| place.field(&self.text))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The values of the fields with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.places
            .iter()
            .map(|place| place.field(&self.text))
            .filter(move |field| field.is(name))
            .map(|field| field.value)
    }

    /// The value of the first field with this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.places.iter().map(|place| place.field(&self.text)).find(|field| field.is(name)).map(|field| field.value)
    }
}

/// Notes where the fields of a head stand in its bytes, which it does not hold.
pub(super) struct FieldsReader {
    start: usize,
    places: Vec<Place>,
}

impl FieldsReader {
    /// No fields yet of a head whose bytes these are.
    pub fn new(text: &[u8]) -> Self {
        Self { start: text.as_ptr() as usize, places: Vec::with_capacity(16) }
    }

    /// A field whose name and value are parts of the bytes.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let place = |part: &[u8]| {
            // An empty part may be anywhere; its place does not matter.
            let at = if part.is_empty() { 0 } else { part.as_ptr() as usize - self.start };
            (small(at), small(at + part.len()))
        };
        let place = Place { name: place(name), value: place(value) };
        self.places.push(place);
    }

    /// The fields of the head that these bytes are.
    pub fn finish(self, text: Bytes) -> Fields {
        Fields { text, places: self.places }
    }
}

impl Place {
    fn field(self, text: &[u8]) -> Field<'_> {
        let part = |(start, end): (u32, u32)| &text[start as usize..end as usize];
        Field { name: part(self.name), value: part(self.value) }
    }
}

/// Writes fields line by line, as they go out.
#[derive(Debug, Default)]
pub struct FieldsWriter {
    text: Vec<u8>,
    places: Vec<Place>,
}

impl FieldsWriter {
    /// One that has room for so many usual fields.
    pub fn for_fields(count: usize) -> Self {
        Self { text: Vec::with_capacity(count * 40), places: Vec::with_capacity(count) }
    }

    /// Adds a field. That the name is a token and the value has no control character is for the caller to see to.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        let end = self.text.len();
        self.text.extend_from_slice(b"\r\n");
        self.places.push(Place { name: (small(start), small(middle - 2)), value: (small(middle), small(end)) });
    }

    /// The fields.
    pub fn finish(self) -> Fields {
        Fields { text: self.text.into(), places: self.places }
    }
}

impl Fields {
    /// The lines of fields that a [`FieldsWriter`] has written, each with its end.
    pub fn lines(&self) -> &[u8] {
        &self.text
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a head is far below 4 GiB: its size has a limit")
}

#[cfg(test)]
mod tests {
    use super::FieldsWriter;

    #[test]
    fn fields_keep_their_order_their_case_and_their_repetitions() {
        let mut writer = FieldsWriter::default();
        for (name, value) in [("ETag", "a"), ("set-cookie", "1"), ("X-Empty", ""), ("Set-Cookie", "2")] {
            writer.push(name.as_bytes(), value.as_bytes());
        }
        let fields = writer.finish();
        assert_eq!(fields.lines(), b"ETag: a\r\nset-cookie: 1\r\nX-Empty: \r\nSet-Cookie: 2\r\n");
        assert_eq!(fields.all("SET-COOKIE").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(
            (fields.get("etag"), fields.get("x-empty"), fields.get("x")),
            (Some(&b"a"[..]), Some(&b""[..]), None)
        );
        assert_eq!(
            fields.iter().map(|field| field.name).collect::<Vec<_>>().concat(),
            b"ETagset-cookieX-EmptySet-Cookie"
        );
    }
}
