//! One pattern of a `.dockerignore`, matched against one path.
//!
//! Docker turns a pattern into a regular expression, with two short cuts (a pattern that is only `**` and a literal end, or
//! a literal beginning and `**`) that differ from it. What follows gives the same answers without the expression.

/// A pattern, ready to be matched.
#[derive(Debug)]
pub struct Pattern {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// `a/b`: this name and no other.
    Exact(Vec<char>),
    /// `a/**`: what begins so. The `/` before the stars counts, the one after them does not.
    Prefix(Vec<char>),
    /// `**/a` or `**a`: what ends so.
    Suffix(Vec<char>),
    /// Anything else.
    Tokens(Vec<Token>),
}

#[derive(Debug)]
enum Token {
    Literal(char),
    /// `?`: one character of a name.
    One,
    /// `*`: any characters of one name.
    InName,
    /// `**` or `**/` inside: nothing, or any directories.
    Directories,
    /// `**` at the end: anything.
    Rest,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Reads a cleaned pattern; nothing if its syntax is wrong.
    pub fn compile(text: &str) -> Option<Self> {
        let characters: Vec<char> = text.chars().collect();
        let mut tokens = Vec::new();
        let mut position = 0;
        let mut escaped = false;
        while position < characters.len() {
            let character = characters[position];
            position += 1;
            tokens.push(match character {
                '*' if characters.get(position) == Some(&'*') => {
                    position += 1;
                    if characters.get(position) == Some(&'/') {
                        position += 1;
                    }
                    if position == characters.len() { Token::Rest } else { Token::Directories }
                }
                '*' => Token::InName,
                '?' => Token::One,
                '[' => class(&characters, &mut position)?,
                '\\' => {
                    escaped = true;
                    let literal = *characters.get(position)?;
                    position += 1;
                    Token::Literal(literal)
                }
                literal => Token::Literal(literal),
            });
        }
        // An escaped character makes Docker take the regular expression, not a short cut.
        let kind = if escaped { None } else { short_cut(&characters, &tokens) };
        Some(Self { kind: kind.unwrap_or(Kind::Tokens(tokens)) })
    }

    /// Whether the pattern matches this very path (not one of its parents).
    pub fn matches(&self, path: &[char]) -> bool {
        match &self.kind {
            Kind::Exact(name) => path == name,
            Kind::Prefix(beginning) => path.starts_with(beginning),
            Kind::Suffix(end) => {
                path.ends_with(end) || end.split_first().is_some_and(|(c, rest)| *c == '/' && path == rest)
            }
            Kind::Tokens(tokens) => run(tokens, path),
        }
    }
}

/// Takes Docker's short cuts where it takes them.
fn short_cut(characters: &[char], tokens: &[Token]) -> Option<Kind> {
    match tokens {
        [beginning @ .., Token::Rest] => literals(beginning).map(Kind::Prefix),
        // What follows the stars is compared as it stands, a slash included: `**a` matches `xa`, `**/a` does not.
        [Token::Directories, end @ ..] => literals(end).map(|_| Kind::Suffix(characters[2..].to_vec())),
        _ => literals(tokens).map(Kind::Exact),
    }
}

fn literals(tokens: &[Token]) -> Option<Vec<char>> {
    tokens.iter().map(|token| if let Token::Literal(character) = token { Some(*character) } else { None }).collect()
}

/// Reads a class behind its `[`, by the rules of Go's `filepath.Match`.
fn class(characters: &[char], position: &mut usize) -> Option<Token> {
    let negated = characters.get(*position) == Some(&'^');
    if negated {
        *position += 1;
    }
    let mut ranges = Vec::new();
    loop {
        if characters.get(*position) == Some(&']') && !ranges.is_empty() {
            *position += 1;
            return Some(Token::Class { negated, ranges });
        }
        let low = class_character(characters, position)?;
        let mut high = low;
        if characters.get(*position) == Some(&'-') {
            *position += 1;
            high = class_character(characters, position)?;
        }
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
}

fn class_character(characters: &[char], position: &mut usize) -> Option<char> {
    let mut character = *characters.get(*position)?;
    if character == '-' || character == ']' {
        return None;
    }
    *position += 1;
    if character == '\\' {
        character = *characters.get(*position)?;
        *position += 1;
    }
    // A class must be closed, so something follows each of its characters.
    (*position < characters.len()).then_some(character)
}

fn run(tokens: &[Token], path: &[char]) -> bool {
    let Some((token, rest)) = tokens.split_first() else {
        return path.is_empty();
    };
    match token {
        Token::Literal(literal) => path.split_first().is_some_and(|(c, path)| c == literal && run(rest, path)),
        Token::One => path.split_first().is_some_and(|(c, path)| *c != '/' && run(rest, path)),
        Token::Class { negated, ranges } => path.split_first().is_some_and(|(c, path)| {
            ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *negated && run(rest, path)
        }),
        Token::InName => {
            let name = path.iter().position(|c| *c == '/').unwrap_or(path.len());
            (0..=name).any(|taken| run(rest, &path[taken..]))
        }
        Token::Directories => {
            run(rest, path)
                || path.iter().enumerate().any(|(end, character)| *character == '/' && run(rest, &path[end + 1..]))
        }
        Token::Rest => true,
    }
}
