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

    /// Whether it may match something below the directory at `path`: as far as both go, it begins as that does.
    pub fn may_match_below(&self, path: &[char]) -> bool {
        let beginning: Vec<char> = match &self.kind {
            Kind::Exact(beginning) | Kind::Prefix(beginning) => beginning.clone(),
            Kind::Suffix(_) => Vec::new(),
            Kind::Tokens(tokens) => tokens.iter().map_while(literal).collect(),
        };
        beginning.iter().zip(path.iter().chain([&'/'])).all(|(one, other)| one == other)
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
    tokens.iter().map(literal).collect()
}

fn literal(token: &Token) -> Option<char> {
    if let Token::Literal(character) = token { Some(*character) } else { None }
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

/// Whether these match the whole path. Follows all ways through it at once: one after the other, many stars would take
/// longer than anybody waits.
fn run(tokens: &[Token], path: &[char]) -> bool {
    // Whether what comes before the token can end here.
    let mut ends = vec![false; path.len() + 1];
    ends[0] = true;
    for token in tokens {
        let one = |ends: &[bool], is: &dyn Fn(&char) -> bool| {
            std::iter::once(false).chain(ends.iter().zip(path).map(|(end, c)| *end && is(c))).collect()
        };
        match token {
            Token::Literal(literal) => ends = one(&ends, &|c| c == literal),
            Token::One => ends = one(&ends, &|c| *c != '/'),
            Token::Class { negated, ranges } => {
                ends = one(&ends, &|c| ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *negated);
            }
            Token::InName => (1..ends.len()).for_each(|end| ends[end] |= ends[end - 1] && path[end - 1] != '/'),
            Token::Directories => {
                let first = ends.iter().position(|end| *end).unwrap_or(path.len());
                (first + 1..ends.len()).for_each(|end| ends[end] |= path[end - 1] == '/');
            }
            Token::Rest => return ends.contains(&true),
        }
        if !ends.contains(&true) {
            return false;
        }
    }
    ends[path.len()]
}

#[cfg(test)]
mod tests {
    use super::{Kind, Pattern, Token, run};

    /// What each token says, word for word, one way through the path after the other.
    fn plainly(tokens: &[Token], path: &[char]) -> bool {
        let Some((token, rest)) = tokens.split_first() else { return path.is_empty() };
        let one = |is: &dyn Fn(char) -> bool| path.split_first().is_some_and(|(c, path)| is(*c) && plainly(rest, path));
        match token {
            Token::Literal(literal) => one(&|c| c == *literal),
            Token::One => one(&|c| c != '/'),
            Token::Class { negated, ranges } => {
                one(&|c| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated)
            }
            Token::InName => plainly(rest, path) || one_more(tokens, path, |c| c != '/'),
            Token::Directories => {
                plainly(rest, path) || (0..path.len()).any(|end| path[end] == '/' && plainly(rest, &path[end + 1..]))
            }
            Token::Rest => true,
        }
    }

    fn one_more(tokens: &[Token], path: &[char], is: impl Fn(char) -> bool) -> bool {
        path.split_first().is_some_and(|(c, path)| is(*c) && plainly(tokens, path))
    }

    #[test]
    fn all_ways_at_once_are_each_of_them() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut text = |of: &[&str], length: usize| -> String {
            (0..rng.usize(..length)).map(|_| of[rng.usize(..of.len())]).collect()
        };
        let mut matched = 0;
        for _ in 0..100_000 {
            let pattern = text(&["a", "b", "/", "*", "**", "**/", "?", "[a-b]", "[^a]"], 8);
            let path: Vec<char> = text(&["a", "b", "/"], 10).chars().collect();
            let Some(Pattern { kind: Kind::Tokens(tokens) }) = Pattern::compile(&pattern) else { continue };
            let expected = plainly(&tokens, &path);
            assert_eq!(run(&tokens, &path), expected, "{pattern} {path:?}");
            matched += usize::from(expected);
        }
        assert!(matched > 1000, "{matched}");
    }
}
