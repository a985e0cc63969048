//! The query of a streaming request: parameters may repeat, and order counts (`command=a&command=b`).

use std::borrow::Cow;

/// Decoded parameters, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes a query. Stray separators, as some clients send them (`?&a=b`), are skipped.
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .map(|pair| pair.trim_start_matches('?'))
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name).into_owned(), decode(value).into_owned())
            })
            .collect();
        Self(pairs)
    }

    /// The first value of a parameter, if it is there and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set: `true`, `1`, or the bare name.
    pub fn flag(&self, name: &str) -> bool {
        self.all(name)
            .next()
            .is_some_and(|value| matches!(value, "" | "1" | "t" | "T" | "true" | "TRUE" | "True"))
    }

    /// A number; the error is the text that does not read as one.
    pub fn number(&self, name: &str) -> Result<Option<i64>, String> {
        self.text(name).map(|text| text.parse().map_err(|_| text.to_owned())).transpose()
    }
}

/// `+` is a blank, `%41` is a byte; what is not well formed stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (other, _) => bytes.push(*other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_order_its_blanks_and_its_signs() {
        let params = Params::parse(Some(
            "&command=sh&command=-c&command=echo+a%20%2B%2f+%e2%82%ac%zz&stdin=true&tty=1&x&stdout=false",
        ));
        let command: Vec<&str> = params.all("command").collect();
        assert_eq!(command, ["sh", "-c", "echo a +/ €%zz"]);
        assert!(params.flag("stdin") && params.flag("tty") && params.flag("x"));
        assert!(!params.flag("stdout") && !params.flag("stderr"));
        assert_eq!(Params::parse(Some("?&n=12&m=x")).number("n"), Ok(Some(12)));
        assert_eq!(Params::parse(Some("n=12&m=x")).number("m"), Err("x".to_owned()));
        assert_eq!(Params::parse(None).number("m"), Ok(None));
    }
}
