//! Long texts, written short: `@a*300` stands for three hundred letters a.

use std::sync::LazyLock;

use regex::Regex;

/// Runs of one character shorter than this are written out.
const RUN: usize = 30;

static SHORT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"@(.)\*(\d+)").unwrap());

/// Writes everything out.
pub fn expand(text: &str) -> String {
    SHORT
        .replace_all(text, |found: &regex::Captures| found[1].repeat(found[2].parse().unwrap()))
        .into_owned()
}

/// Writes long runs short.
pub fn shorten(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        let mut run = 1;
        while rest.next_if_eq(&letter).is_some() {
            run += 1;
        }
        if run >= RUN {
            short.push_str(&format!("@{letter}*{run}"));
        } else {
            short.extend(std::iter::repeat_n(letter, run));
        }
    }
    short
}

#[test]
fn long_runs_are_written_short_and_come_back() {
    assert_eq!(shorten(&expand("x-@a*300.y aaa")), "x-@a*300.y aaa");
    assert_eq!(expand("@b*3"), "bbb");
}
