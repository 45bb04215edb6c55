//! "Did you mean": the nearest known name.

/// The known name nearest to the written one, if one is near enough; ties go to the first.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase();
    // A third of the letters may be wrong: more than that is another word.
    let limit = (written.chars().count() / 3).clamp(1, 4);
    known
        .iter()
        .filter_map(|k| {
            let low = k.to_lowercase();
            let d = distance(&written, &low);
            let near = d <= limit && d < low.chars().count();
            let part = written.len() >= 4 && (low.starts_with(&written) || written.starts_with(&low) && low.len() >= 4);
            (near || part).then_some((d, *k))
        })
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Edit distance where swapping two neighbours counts once. Names longer than 64 letters are far
/// from everything.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(65).collect(), b.chars().take(65).collect());
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["launch", "malloc", "free", "memcpy", "sync"];
        assert_eq!(nearest("launhc", &known), Some("launch"));
        assert_eq!(nearest("SYNC", &known), Some("sync"));
        assert_eq!(nearest("memcopy", &known), Some("memcpy"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(nearest("x", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
