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
    if a.len() > 64 || b.len() > 64 {
        usize::MAX
    } else {
        strsim::osa_distance(a, b)
    }
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
