//! What the code must look like, whatever it does. No cluster.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Who may see whom among the modules of src/. `metrics` and `telemetry` are seen by all, and `app` sees all.
const MAY_SEE: [(&str, &[&str]); 12] = [
    ("server", &["auth", "tools", "cluster", "endpoint", "reply"]),
    ("tools", &["change", "diagnosis", "cluster", "logs", "reply", "endpoint"]),
    ("change", &["diagnosis", "cluster", "reply", "endpoint"]),
    ("diagnosis", &["cluster", "logs", "endpoint", "reply"]),
    ("auth", &["cluster", "endpoint", "api::SigningAlgorithm"]),
    ("controller", &["cluster", "endpoint", "api"]),
    ("cluster", &["endpoint"]),
    ("endpoint", &["api"]),
    ("cli", &["api", "endpoint", "reply", "controller::Management"]),
    ("api", &[]),
    ("logs", &[]),
    ("reply", &[]),
];
const SEEN_BY_ALL: [&str; 2] = ["metrics", "telemetry"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under src, as path below it and text.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                walk(&entry, found);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                found.push(entry);
            }
        }
    }
    let src = root().join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found.sort();
    found.into_iter().map(|p| (p.strip_prefix(&src).unwrap().to_owned(), fs::read_to_string(&p).unwrap())).collect()
}

/// The text without line comments: what documentation mentions is no dependency.
fn code(text: &str) -> String {
    let without = |line: &str| line.find("//").map_or(line, |at| &line[..at]).to_owned();
    text.lines().map(|line| without(line) + "\n").collect()
}

/// Every path of a use tree: `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`. Gives what follows the tree.
fn paths<'t>(tree: &'t str, prefix: &str, found: &mut Vec<String>) -> &'t str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            match rest.chars().next() {
                Some('}') => return &rest[1..],
                Some(',') => rest = &rest[1..],
                Some(_) => {
                    let after = paths(rest, prefix, found);
                    let after = after.trim_start().strip_prefix("as ").map_or(after, |alias| {
                        alias.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                    });
                    assert!(after.len() < rest.len(), "cannot read: {rest:.60}");
                    rest = after;
                }
                None => return rest,
            }
        }
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(rest) = rest.strip_prefix("::") {
        return paths(rest, &path, found);
    }
    found.push(path);
    rest
}

/// Paths from the crate's root that a file names: by `crate::`, or by so many `super::` that they lead there.
fn crate_paths(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, marker) in text.match_indices("crate::") {
        paths(&text[at + marker.len()..], "", &mut found);
    }
    let is_root = |name: &str| name == "mod.rs" || name == "lib.rs" || name == "main.rs";
    let depth = file.components().count() - usize::from(is_root(file.file_name().unwrap().to_str().unwrap()));
    let mut at = 0;
    while let Some(next) = text[at..].find("super::") {
        let start = at + next;
        let mut rest = &text[start..];
        let mut ups = 0;
        while let Some(more) = rest.strip_prefix("super::") {
            (rest, ups) = (more, ups + 1);
        }
        at = text.len() - rest.len();
        let inline = text[..start].lines().any(|l| l.trim_start().starts_with("mod ") && l.trim_end().ends_with('{'));
        if ups >= depth + usize::from(inline) {
            paths(rest, "", &mut found);
        }
    }
    found
}

#[test]
fn use_trees_are_read_to_their_leaves() {
    for (tree, expected) in [
        ("a::B;", vec!["a::B"]),
        ("{a::{B, c::D as E}, f, self};", vec!["a::B", "a::c::D", "f", "self"]),
        (
            "{\n    a::{\n        B,\n        c::{D, e},\n    },\n    f::*,\n}",
            vec!["a::B", "a::c::D", "a::c::e", "f::*"],
        ),
        ("a::b::run(x)", vec!["a::b::run"]),
    ] {
        let mut found = Vec::new();
        paths(tree, "", &mut found);
        assert_eq!(found, expected, "{tree}");
    }
    assert_eq!(crate_paths(Path::new("cli.rs"), "use super::api::X;"), ["api::X"]);
    assert_eq!(crate_paths(Path::new("server/mod.rs"), "use super::api;"), ["api"]);
    assert_eq!(crate_paths(Path::new("server/mcp.rs"), "use super::Shared; use super::super::api;"), ["api"]);
    assert_eq!(crate_paths(Path::new("cli.rs"), "mod tests {\n use super::*;"), Vec::<String>::new());
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let top = file.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if ["app", "lib", "main"].contains(&top.as_str()) {
            continue;
        }
        let allowed: &[&str] = match MAY_SEE.iter().find(|(module, _)| *module == top) {
            Some((_, allowed)) => allowed,
            None if SEEN_BY_ALL.contains(&top.as_str()) => &[],
            None => panic!("src/{}: {top} has no line in MAY_SEE", file.display()),
        };
        let text = code(&text);
        if text.contains("k_mcp::") {
            wrong.push(format!("src/{}: k_mcp:: instead of crate::", file.display()));
        }
        for path in crate_paths(&file, &text) {
            let module = path.split("::").next().unwrap_or_default();
            let fits = |a: &&str| path == **a || path.starts_with(&format!("{a}::"));
            if module != top && !SEEN_BY_ALL.contains(&module) && !allowed.iter().any(fits) {
                wrong.push(format!("src/{}: {top} may not see {path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "see design.md, Layout:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_under_src_is_reachable_by_a_mod() {
    let all = sources();
    let mut reached: BTreeSet<PathBuf> = ["lib.rs", "main.rs"].map(PathBuf::from).into();
    let mut open: Vec<PathBuf> = reached.iter().cloned().collect();
    while let Some(file) = open.pop() {
        let text = code(&all.iter().find(|(path, _)| *path == file).unwrap().1);
        let name = file.file_name().unwrap().to_str().unwrap();
        let below = if ["mod.rs", "lib.rs", "main.rs"].contains(&name) {
            file.parent().unwrap().to_owned()
        } else {
            file.with_extension("")
        };
        for line in text.lines() {
            let words: Vec<&str> = line.trim().trim_end_matches(';').split_whitespace().collect();
            let (["mod", module] | [_, "mod", module]) = words.as_slice() else { continue };
            if !line.trim_end().ends_with(';') {
                continue;
            }
            for candidate in [below.join(format!("{module}.rs")), below.join(module).join("mod.rs")] {
                if all.iter().any(|(path, _)| *path == candidate) && reached.insert(candidate.clone()) {
                    open.push(candidate);
                }
            }
        }
    }
    let lost: Vec<_> = all.iter().map(|(path, _)| path).filter(|path| !reached.contains(*path)).collect();
    assert!(lost.is_empty(), "no mod declares {lost:?}");
}

#[test]
fn nothing_starts_a_process() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let text = code(&text);
        let mut named = Vec::new();
        for (at, marker) in text.match_indices("process::") {
            paths(&text[at + marker.len()..], "", &mut named);
        }
        named.retain(|path| path != "ExitCode");
        let others = ["Command::new", "posix_spawn", "execve", "libc::", "fork("];
        named.extend(others.iter().filter(|word| text.contains(**word)).map(|&word| word.to_owned()));
        wrong.extend(named.into_iter().map(|path| format!("src/{}: {path}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn serde_yaml_is_named_in_one_module() {
    let own = |path: &Path| path.starts_with("reply/yaml") || path == Path::new("reply/yaml.rs");
    let wrong: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|(path, text)| text.contains("serde_yaml") && !own(path))
        .map(|(p, _)| p)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn no_tracked_file_holds_a_path_of_a_developers_machine() {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/home/", "runner")];
    let mut wrong = Vec::new();
    for file in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
        let Ok(text) = fs::read_to_string(root().join(file)) else { continue }; // not text, or just removed
        for (number, line) in text.lines().enumerate().filter(|(_, line)| paths.iter().any(|p| line.contains(p))) {
            wrong.push(format!("{file}:{}: {line:.120}", number + 1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
