//! Every shipped rule file is inside the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn every_shipped_pack_is_built_in() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut shipped = BTreeMap::new();
    if dir.is_dir() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rules") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                shipped.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let built_in: BTreeMap<String, String> = ingero::cli::PACKS
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    assert_eq!(
        built_in.keys().collect::<Vec<_>>(),
        shipped.keys().collect::<Vec<_>>(),
        "the list in src/cli/builtin.rs and the folder rules/ differ"
    );
    assert!(built_in == shipped);
    assert!(ingero::cli::PACKS.is_sorted(), "packs come by name");
}
