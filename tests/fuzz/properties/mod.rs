//! What must hold for any bytes at all. Shared by the ordinary tests and by cargo-fuzz.

mod answers;
mod bodies;
mod heads;
mod patterns;
mod settings;

/// Panics where it does not hold.
pub type Property = fn(&[u8]);

/// Each by the name of its target.
pub const ALL: &[(&str, Property)] = &[
    ("head", heads::head),
    ("environ", heads::environ),
    ("stream", heads::stream),
    ("proxy", heads::proxy),
    ("chunks", bodies::chunks),
    ("input", bodies::input),
    ("answer", answers::answer),
    ("line", answers::line),
    ("settings", settings::settings),
    ("reference", patterns::reference),
    ("procfile", patterns::procfile),
    ("format", patterns::format),
    ("ignore", patterns::ignore),
];

/// Tries the property of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, property) = ALL.iter().find(|(known, _)| *known == name).expect("a property of this name");
    property(bytes);
}

/// Cuts bytes into pieces whose sizes follow from a number.
fn cut(bytes: &[u8], mut seed: u64) -> Vec<&[u8]> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while !rest.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = usize::try_from(seed >> 60).expect("four bits").clamp(1, rest.len());
        let (piece, behind) = rest.split_at(size);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Takes a byte, which decides something.
fn choice(bytes: &mut &[u8]) -> u8 {
    let [first, rest @ ..] = *bytes else { return 0 };
    *bytes = rest;
    *first
}
