//! What differs between two texts, line by line.

/// Lines of context around a difference.
const CONTEXT: usize = 3;

/// Differences with some lines around them: `-` only in the first text, `+` only in the second.
pub fn lines(before: &str, after: &str) -> String {
    let before: Vec<&str> = before.lines().collect();
    let after: Vec<&str> = after.lines().collect();
    let common = common(&before, &after);
    let (mut left, mut right) = (0, 0);
    let mut all = Vec::new();
    while left < before.len() || right < after.len() {
        if left < before.len() && right < after.len() && before[left] == after[right] {
            all.push((' ', before[left]));
            left += 1;
            right += 1;
        } else if right == after.len()
            || (left < before.len() && common[left + 1][right] >= common[left][right + 1])
        {
            all.push(('-', before[left]));
            left += 1;
        } else {
            all.push(('+', after[right]));
            right += 1;
        }
    }
    let near = |index: usize| {
        let from = index.saturating_sub(CONTEXT);
        all[from..(index + CONTEXT + 1).min(all.len())].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut text = String::new();
    for (index, (sign, line)) in all.iter().enumerate() {
        if near(index) {
            text.push_str(&format!("{sign} {line}\n"));
        } else if index > 0 && near(index - 1) {
            text.push_str("  ...\n");
        }
    }
    text
}

/// How many lines the rests of both texts have in common, in order, from each pair of positions on.
fn common(before: &[&str], after: &[&str]) -> Vec<Vec<usize>> {
    let mut table = vec![vec![0; after.len() + 1]; before.len() + 1];
    for left in (0..before.len()).rev() {
        for right in (0..after.len()).rev() {
            table[left][right] = if before[left] == after[right] {
                table[left + 1][right + 1] + 1
            } else {
                table[left + 1][right].max(table[left][right + 1])
            };
        }
    }
    table
}

#[test]
fn a_changed_line_is_shown_with_its_surroundings() {
    let before = "1\n2\n3\n4\n5\n6\n7\n8\n9";
    let after = before.replace('5', "five");
    assert_eq!(lines(before, &after), "  2\n  3\n  4\n- 5\n+ five\n  6\n  7\n  8\n  ...\n");
}
