//! `ingero rules lsp`, over the protocol, with the real program.

#![allow(clippy::needless_pass_by_value, reason = "`json!` makes what is passed on")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// An editor with one text.
struct Editor {
    server: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    next: i64,
    /// Notifications that came meanwhile.
    told: Vec<Value>,
}

const URI: &str = "file:///nowhere/a%20b.rules";

impl Editor {
    fn start() -> Self {
        let mut server = Command::new(assert_cmd::cargo::cargo_bin("ingero"))
            .args(["rules", "lsp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            to: server.stdin.take(),
            from: BufReader::new(server.stdout.take().unwrap()),
            server,
            next: 0,
            told: Vec::new(),
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        let to = self.to.as_mut().unwrap();
        to.write_all(bytes).unwrap();
        to.flush().unwrap();
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        self.raw(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    }

    fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "the server is gone");
            match line.trim().strip_prefix("Content-Length: ") {
                Some(n) => length = n.parse().unwrap(),
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// The answer to a request, whole.
    fn answer(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.receive();
            if message["id"] == id {
                return message;
            }
            self.told.push(message);
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// A running conversation about a text.
    fn with(text: &str) -> Self {
        let mut editor = Self::start();
        let hello = editor.ask("initialize", json!({"capabilities": {}}));
        assert_eq!(hello["capabilities"]["textDocumentSync"], 1);
        editor.tell("initialized", json!({}));
        editor.open(URI, text);
        editor
    }

    fn open(&mut self, uri: &str, text: &str) {
        let document = json!({"uri": uri, "languageId": "ingero-rules", "version": 1, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": document}));
    }

    /// The next notification of that kind.
    fn told(&mut self, method: &str) -> Value {
        loop {
            if let Some(i) = self.told.iter().position(|m| m["method"] == method) {
                return self.told.remove(i)["params"].clone();
            }
            let message = self.receive();
            self.told.push(message);
        }
    }

    /// Asks about the place of the `|` in a text, which is the one that is open without it.
    fn at(&mut self, method: &str, marked: &str, more: Value) -> Value {
        let mut params = json!({"textDocument": {"uri": URI}, "position": place(marked)});
        for (key, value) in more.as_object().unwrap() {
            params[key] = value.clone();
        }
        self.ask(method, params)
    }

    fn leave(mut self) -> i32 {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        self.server.wait().unwrap().code().unwrap()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.server.wait();
    }
}

/// Line and UTF-16 units before the `|`.
fn place(marked: &str) -> Value {
    let before = marked.split('|').next().unwrap();
    let line = before.rsplit('\n').next().unwrap();
    json!({"line": before.matches('\n').count(), "character": line.encode_utf16().count()})
}

/// Applies edits of the protocol to a text.
fn applied(text: &str, edits: &Value) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let byte = |at: &Value| {
        let line = usize::try_from(at["line"].as_u64().unwrap()).unwrap();
        let units = usize::try_from(at["character"].as_u64().unwrap()).unwrap();
        let start: usize = lines[..line].iter().map(|l| l.len() + 1).sum();
        let prefix: Vec<u16> = lines[line].encode_utf16().take(units).collect();
        start + String::from_utf16(&prefix).unwrap().len()
    };
    let mut list: Vec<(usize, usize, &str)> = edits
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let range = &e["range"];
            (
                byte(&range["start"]),
                byte(&range["end"]),
                e["newText"].as_str().unwrap(),
            )
        })
        .collect();
    list.sort_unstable();
    let mut out = text.to_owned();
    for (from, to, new) in list.into_iter().rev() {
        out.replace_range(from..to, new);
    }
    out
}

fn labels(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|c| c["label"].as_str().unwrap())
        .collect()
}

#[test]
fn problems_come_with_their_places_and_changes_that_mend_them() {
    let text = "# µ😀\nwhen cuda.lanch.p99 > 5ms => A { title \"µ😀 é\" severitty high }\n";
    let mut editor = Editor::with(text);
    let told = editor.told("textDocument/publishDiagnostics");
    let found = told["diagnostics"].as_array().unwrap();
    assert_eq!(
        (told["uri"].as_str(), told["version"].as_i64(), found.len()),
        (Some(URI), Some(1), 2)
    );
    let clause = found.iter().find(|d| d["code"] == "E0207").unwrap();
    let marked = text.replace("severitty", "|severitty");
    assert_eq!(clause["range"]["start"], place(&marked));
    assert!(clause["message"].as_str().unwrap().contains("did you mean `severity`?"));

    let everything = json!({"start": {"line": 0, "character": 0}, "end": {"line": 9, "character": 0}});
    let params = json!({"textDocument": {"uri": URI}, "range": everything.clone(), "context": {"diagnostics": []}});
    let actions = editor.ask("textDocument/codeAction", params);
    let (fixes, all): (Vec<&Value>, Vec<&Value>) = actions
        .as_array()
        .unwrap()
        .iter()
        .partition(|a| a["kind"] == "quickfix");
    let mut mended = text.to_owned();
    for action in fixes.into_iter().rev() {
        mended = applied(&mended, &action["edit"]["documentChanges"][0]["edits"]);
    }
    assert!(
        mended.contains("cuda.launch.p99") && mended.contains("severity high"),
        "{mended}"
    );
    // All at once are the same changes, and come alone where only they are asked for.
    let [all] = all.as_slice() else { panic!("{actions}") };
    assert_eq!(all["title"], "Make all 2 changes that are certain");
    assert_eq!(applied(text, &all["edit"]["documentChanges"][0]["edits"]), mended);
    let at_save =
        json!({"textDocument": {"uri": URI}, "range": everything, "context": {"diagnostics": [], "only": ["source"]}});
    let only = editor.ask("textDocument/codeAction", at_save);
    assert_eq!(
        (only.as_array().unwrap().len(), &only[0]["kind"]),
        (1, &json!("source.fixAll"))
    );

    editor.tell(
        "textDocument/didChange",
        json!({"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": mended}]}),
    );
    let told = editor.told("textDocument/publishDiagnostics");
    // What is left is what `ingero rules check` warns of.
    let left: Vec<&str> = told["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["code"].as_str().unwrap())
        .collect();
    assert_eq!((&told["version"], left), (&json!(2), vec!["W0011"]));
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": URI}}));
    assert_eq!(editor.told("textDocument/publishDiagnostics")["diagnostics"], json!([]));
    assert_eq!(editor.leave(), 0);
}

#[test]
fn completion_knows_where_it_is() {
    let rules = "let tail = cuda.p99\nparam most: Duration = 5ms\nset few = {1}\nwhen mem.oom => OTHER\n";
    let mut editor = Editor::with("");
    let mut version = 1;
    let mut complete = |marked: &str| -> Value {
        version += 1;
        let marked = format!("{rules}{marked}");
        editor.tell(
            "textDocument/didChange",
            json!({"textDocument": {"uri": URI, "version": version}, "contentChanges": [{"text": marked.replace('|', "")}]}),
        );
        editor.at("textDocument/completion", &marked, json!({}))
    };
    for (marked, has, not) in [
        ("when cuda.|", "launch", "cuda"),
        ("when cuda.|", "cudaMalloc", "duration"),
        ("when cuda.la|", "launch", "when"),
        ("when cuda.launch.|", "p99", "launch"),
        ("when cuda.launch[duration > 1ms].|", "throughput", "malloc"),
        ("when system.|", "mem_avail", "p99"),
        ("when trace.|", "lost", "p99"),
        ("when cuda[|", "duration", "cudaMalloc"),
        ("when cuda[pid = 1, |", "first_use", "prompt_tokens"),
        ("when cuda[direction = |", "h2d", "pid"),
        ("when cuda.p99@|", "steady", "p99"),
        ("when |", "tail", "severity"),
        ("when cuda.p99 > m|", "most", "OTHER"),
        ("when cuda[pid in |", "few", "tail"),
        ("when mem.oom per |", "size_class", "cuda"),
        ("when mem.oom per (pid, |", "gpu", "cuda"),
        ("when mem.oom => A {\n  |", "severity", "cuda"),
        ("when mem.oom => A {\n  sev|", "severity", "cuda"),
        ("when mem.oom => A { severity |", "critical", "cuda"),
        ("when mem.oom => A { impact |", "cuda", "severity"),
        ("when mem.oom => A { explains [|", "OTHER", "cuda"),
        ("when mem.oom => A { message \"µ {|", "covered", "severity"),
        ("when mem.oom => A { message \"µ {cuda.|", "launch", "severity"),
        ("test \"t\" for |", "OTHER", "cuda"),
        ("test \"t\" for OTHER {\n  |", "every", "cuda"),
        ("test \"t\" for OTHER {\n  at 1s |", "cuda", "every"),
        ("test \"t\" for OTHER {\n  at 1s cuda.|", "cudaMalloc", "every"),
        ("test \"t\" for OTHER {\n  at 1s cuda.cudaMalloc |", "bytes", "every"),
        ("test \"t\" for OTHER {\n  expect |", "quiet", "every"),
        ("param x: |", "Throughput", "cuda"),
        ("|", "when", "cuda"),
    ] {
        let list = complete(marked);
        let names = labels(&list);
        assert!(names.contains(&has) && !names.contains(&not), "{marked}: {names:?}");
    }
    for marked in [
        "# cuda.|",
        "when mem.oom => |",
        "when mem.oom => A { title \"cuda.|",
        "let |",
    ] {
        assert_eq!(labels(&complete(marked)), [""; 0], "{marked}");
    }
    let list = complete("# µ😀\nwhen cuda.launch.thr|");
    let item = list
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["label"] == "throughput")
        .unwrap();
    assert_eq!(item["detail"], "bytes per second, higher is better");
    assert_eq!(item["documentation"], "their bytes over their durations");
    let range = json!({"start": {"line": 5, "character": 17}, "end": {"line": 5, "character": 20}});
    assert_eq!(item["textEdit"], json!({"range": range, "newText": "throughput"}));
}

const LINKED: &str = "let tail = cuda.launch[duration > 3*p50]
param most: Ratio = 5%
set few = {1, 2}
when tail.p99 > 5*p50 and cuda[pid in few].count > 1 => A {
  severity high if share(tail) > most, else low
  message \"µ😀 {tail.count} of {cuda.count}\"
}
when mem.oom => B { explains [A, ELSEWHERE] }
test \"t\" for A { param most = 6%  expect quiet }
";

#[test]
fn names_are_followed_found_and_changed() {
    let mut editor = Editor::with(LINKED);
    let mark = |before: &str| LINKED.replacen(before, &format!("{before}|"), 1);
    for (at, line) in [
        ("when ta", 0),
        ("> mo", 1),
        ("in fe", 2),
        ("explains [A", 3),
        ("for A", 3),
        ("{ta", 0),
    ] {
        let found = editor.at("textDocument/definition", &mark(at), json!({}));
        assert_eq!(found[0]["range"]["start"]["line"], line, "{at}: {found}");
    }
    for (at, n) in [("let ta", 4), ("param mo", 3), ("set fe", 2), ("for A", 3)] {
        let with = json!({"context": {"includeDeclaration": true}});
        let found = editor.at("textDocument/references", &mark(at), with);
        assert_eq!(found.as_array().unwrap().len(), n, "{at}: {found}");
    }
    for (at, old, new) in [
        ("{ta", "tail", "rest"),
        ("let ta", "tail", "`odd name`"),
        ("for A", "A", "RENAMED"),
    ] {
        let range = editor.at("textDocument/prepareRename", &mark(at), json!({}));
        assert!(range["start"]["line"].is_u64(), "{range}");
        let edit = editor.at("textDocument/rename", &mark(at), json!({"newName": new}));
        let renamed = applied(LINKED, &edit["documentChanges"][0]["edits"]);
        let words = |text: &str| {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.filter(|w| *w == old).count()
        };
        assert_eq!(words(&renamed), 0, "{renamed}");
        assert_eq!(renamed.matches(new).count(), words(LINKED), "{renamed}");
    }
    for wrong in ["", "two words", "when", "5ms", "a.b", "`open"] {
        let params = json!({"textDocument": {"uri": URI}, "position": place(&mark("let ta")), "newName": wrong});
        let answer = editor.answer("textDocument/rename", params);
        assert_eq!(answer["error"]["code"], -32602, "{wrong}: {answer}");
    }
    assert_eq!(
        editor.at("textDocument/definition", &mark("when m"), json!({})),
        Value::Null
    );

    // A rule of another text.
    let other = "file:///nowhere/other.rules";
    editor.open(other, "\nwhen mem.oom => ELSEWHERE\n");
    let found = editor.at("textDocument/definition", &mark("ELSE"), json!({}));
    assert_eq!(
        (&found[0]["uri"], &found[0]["range"]["start"]["line"]),
        (&json!(other), &json!(1))
    );
    let edit = editor.at("textDocument/rename", &mark("ELSE"), json!({"newName": "THERE"}));
    assert_eq!(edit["documentChanges"].as_array().unwrap().len(), 2, "{edit}");
    let outline = editor.ask("textDocument/documentSymbol", json!({"textDocument": {"uri": URI}}));
    let names: Vec<&str> = outline
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["tail", "most", "few", "A", "B"]);
}

#[test]
fn rules_in_the_same_folder_are_found_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let uri = |name: &str| format!("file://{}", dir.path().join(name).display());
    std::fs::write(dir.path().join("other.rules"), "when mem.oom => OTHER\n").unwrap();
    let mut editor = Editor::with("");
    editor.open(&uri("mine.rules"), "when mem.oom => MINE { explains [OTHER] }\n");
    let params = json!({"textDocument": {"uri": uri("mine.rules")}, "position": {"line": 0, "character": 35}});
    let found = editor.ask("textDocument/definition", params);
    assert_eq!(found[0]["uri"], uri("other.rules"));
}

const COMMON: &str = "let tail = cuda.launch[duration > 3*p50]
param most: Ratio = 5%
set few = {1, 2}
segment load = io.read[bytes > 1MiB]
when mem.oom => SHARED
";

const USER: &str = "import \"common.rules\" as c
import \"common.rules\"
import \"std/cuda\" as std
override param most = 6%
override SHARED { severity low }
when c.tail.p99@load > 5*p50 and cuda[pid in few].count > 1 and share(cuda[duration > 1s]) > most
  per pid => A { message \"{c.tail.count} {std.tail_share}\" explains [SHARED] }
";

#[test]
fn names_are_followed_into_imported_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    std::fs::write(folder.join("common.rules"), COMMON).unwrap();
    let [uri, common] = ["user.rules", "common.rules"].map(|name| format!("file://{}", folder.join(name).display()));
    let mut editor = Editor::with("");
    editor.told("textDocument/publishDiagnostics");
    editor.open(&uri, USER);
    let told = editor.told("textDocument/publishDiagnostics");
    let codes: Vec<&str> = told["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["W0011"], "{told}");

    let mut ask = |method: &str, before: &str, more: Value| {
        let mut params =
            json!({"textDocument": {"uri": uri}, "position": place(&USER.replacen(before, &format!("{before}|"), 1))});
        for (key, value) in more.as_object().unwrap() {
            params[key] = value.clone();
        }
        editor.answer(method, params)
    };
    for (before, line) in [
        ("c.ta", 0),
        ("> mo", 1),
        ("param mo", 1),
        ("in fe", 2),
        ("@lo", 3),
        ("explains [SHA", 4),
        ("override SHA", 4),
        ("{c.ta", 0),
        ("import \"com", 0),
    ] {
        let found = ask("textDocument/definition", before, json!({}))["result"].clone();
        assert_eq!(
            (&found[0]["uri"], &found[0]["range"]["start"]["line"]),
            (&json!(common), &json!(line)),
            "{before}: {found}"
        );
    }
    let here = ask("textDocument/definition", "when c", json!({}))["result"].clone();
    assert_eq!(
        (&here[0]["uri"], &here[0]["range"]["start"]["line"]),
        (&json!(uri), &json!(0))
    );

    for (before, says) in [
        ("c.ta", "let tail = cuda.launch[duration > 3*p50]"),
        ("@lo", "segment load = io.read"),
        ("{std.tail", "param tail_share: Ratio = 50%"),
        ("import \"com", "names: tail, most, few, load"),
        ("import \"std", "CUDA_ERROR_BURST"),
        ("\nwhe", "begins a rule"),
        ("overr", "changes a rule or a parameter of an imported file"),
    ] {
        let found = ask("textDocument/hover", before, json!({}))["result"].clone();
        let text = found["contents"]["value"].as_str().unwrap_or("");
        assert!(text.contains(says), "{before}: {text}");
    }

    for (before, old, new, n) in [
        ("c.ta", "tail", "remainder", 3),
        ("> mo", "most", "limit", 3),
        ("@lo", "load", "reads", 2),
        ("when c", "c", "lib", 3),
    ] {
        let edit = ask("textDocument/rename", before, json!({"newName": new}))["result"].clone();
        let mut changed = 0;
        for document in edit["documentChanges"].as_array().unwrap() {
            let text = if document["textDocument"]["uri"] == common {
                COMMON
            } else {
                USER
            };
            let renamed = applied(text, &document["edits"]);
            changed += document["edits"].as_array().unwrap().len();
            assert!(renamed != text && renamed.contains(new), "{old}: {renamed}");
        }
        assert_eq!(changed, n, "{before}: {edit}");
    }
    let refused = ask("textDocument/rename", "{std.tail", json!({"newName": "x"}));
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("part of the program"),
        "{refused}"
    );
    assert_eq!(
        ask("textDocument/prepareRename", "when cu", json!({}))["result"],
        Value::Null
    );

    for (marked, has, not) in [
        ("when c.|", "tail", "few"),
        ("when |", "most", "SHARED"),
        ("when cuda[pid in |", "few", "tail"),
        ("when cuda.p99@|", "load", "tail"),
        ("override |", "SHARED", "most"),
        ("override param |", "most", "SHARED"),
        ("import \"|", "common.rules", "user.rules"),
        ("import \"st|", "std/host", "when"),
        ("when mem.oom and |", "without", "severity"),
        ("when mem.oom per pid across |", "tid", "cuda"),
        ("when mem.oom => A { explains [|", "SHARED", "cuda"),
    ] {
        let text = format!("{USER}{}", marked.replace('|', ""));
        let change = json!({"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": text}]});
        editor.tell("textDocument/didChange", change);
        let at = place(&format!("{USER}{marked}"));
        let list = editor.ask(
            "textDocument/completion",
            json!({"textDocument": {"uri": uri}, "position": at}),
        );
        let names = labels(&list);
        assert!(names.contains(&has) && !names.contains(&not), "{marked}: {names:?}");
    }

    // The imported file changes on disk: whoever imports it is checked again.
    let change = json!({"textDocument": {"uri": uri, "version": 3}, "contentChanges": [{"text": USER}]});
    editor.tell("textDocument/didChange", change);
    std::fs::write(folder.join("common.rules"), COMMON.replace("let tail", "let rest")).unwrap();
    editor.tell("textDocument/didSave", json!({"textDocument": {"uri": common}}));
    let mut found = false;
    for _ in 0..16 {
        let told = editor.told("textDocument/publishDiagnostics");
        found |= told["uri"] == uri && told.to_string().contains("tail");
        if found {
            break;
        }
    }
    assert!(found);
}

#[test]
fn hover_explains_and_hints_name_what_is_inherited() {
    let mut editor = Editor::with(LINKED);
    let mark = |before: &str| LINKED.replacen(before, &format!("{before}|"), 1);
    let mut hover = |at: &str| {
        let found = editor.at("textDocument/hover", &mark(at), json!({}));
        found["contents"]["value"].as_str().unwrap_or("").to_owned()
    };
    for (at, says) in [
        ("=> ", "For every"),
        ("when ta", "let tail = cuda.launch[duration > 3*p50]"),
        ("cuda.lau", "cudaLaunchKernel"),
        ("[durat", "length of the interval"),
        ("tail.p9", "lower is better"),
        ("sha", "how many of x pass the filter"),
        ("sever", "the first level whose condition holds"),
        ("5*p5", "is read as `cuda.launch"),
        ("else lo", "a severity"),
    ] {
        let text = hover(at);
        assert!(text.contains(says), "{at}: {text}");
    }
    assert_eq!(hover("param most: Ratio ="), "");

    let everything = json!({"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}});
    let params = json!({"textDocument": {"uri": URI}, "range": everything});
    let hints = editor.ask("textDocument/inlayHint", params);
    let mut shown = String::new();
    for h in hints.as_array().unwrap() {
        let _ = writeln!(shown, "{} {}", h["position"], h["label"].as_str().unwrap());
    }
    assert_eq!(
        shown,
        "{\"character\":36,\"line\":0} cuda.launch.\n\
         {\"character\":18,\"line\":3} cuda.launch[duration > 3*p50].\n"
    );
}

#[test]
fn texts_are_formatted_and_wrong_ones_left_alone() {
    let text = "when cuda.cudamalloc.p99>5ms=>A # µ😀";
    let mut editor = Editor::with(text);
    let options = json!({"textDocument": {"uri": URI}, "options": {"tabSize": 2, "insertSpaces": true}});
    let edits = editor.ask("textDocument/formatting", options.clone());
    assert_eq!(applied(text, &edits), "when cuda.cudaMalloc.p99 > 5ms => A  # µ😀\n");
    for (text, expected) in [("when => A", Value::Null), ("when mem.oom => A\n", json!([]))] {
        let change = json!({"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": text}]});
        editor.tell("textDocument/didChange", change);
        assert_eq!(editor.ask("textDocument/formatting", options.clone()), expected);
    }
}

#[test]
fn garbage_is_survived_and_said() {
    let mut editor = Editor::with("when mem.oom => A\n");
    editor.raw(b"garbage\r\n\r\n{}{}\r\nContent-Length: zzz\r\n\r\nContent-Length: 4\r\n\r\nnull");
    editor.raw(b"Content-Length: 27\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":tru}}");
    editor.raw(format!("Content-Length: {}\r\n\r\n", (8 << 20) + 1).as_bytes());
    editor.raw(&vec![b'['; (8 << 20) + 1]);
    let deep = "[".repeat(100_000);
    editor.raw(format!("Content-Length: {}\r\n\r\n{deep}", deep.len()).as_bytes());
    editor.tell("textDocument/didOpen", json!({"textDocument": 5}));
    editor.tell(
        "textDocument/didChange",
        json!({"textDocument": {"uri": "file:///never", "version": 1}, "contentChanges": []}),
    );
    editor.tell("$/whatever", json!([1]));
    editor.send(&json!({"jsonrpc": "2.0", "id": 77, "result": null}));
    for (method, params, code) in [
        ("textDocument/hover", json!({"nonsense": true}), -32602),
        (
            "textDocument/hover",
            json!({"textDocument": {"uri": "file:///never"}, "position": {"line": 0, "character": 0}}),
            -32602,
        ),
        ("no/such", json!(null), -32601),
        ("initialize", json!({"capabilities": {}}), -32600),
    ] {
        assert_eq!(editor.answer(method, params)["error"]["code"], code, "{method}");
    }
    let far =
        json!({"textDocument": {"uri": URI}, "position": {"line": 4_000_000_000_u32, "character": 4_000_000_000_u32}});
    assert_eq!(editor.ask("textDocument/hover", far), Value::Null);
    let logged = editor
        .told
        .iter()
        .filter(|m| m["method"] == "window/logMessage")
        .count();
    assert_eq!(logged, 7, "{:?}", editor.told);
    assert_eq!(editor.leave(), 0);
}

#[test]
fn huge_texts_are_answered_like_small_ones() {
    let mut editor = Editor::with("");
    editor.told("textDocument/publishDiagnostics");
    let lets = (0..60_000).fold(String::new(), |mut all, i| {
        let _ = writeln!(all, "let a{i} = a");
        all
    });
    for (version, text) in ["(".repeat(1 << 20), "\"\n".repeat(1 << 19), lets, "x".repeat(3 << 20)]
        .into_iter()
        .enumerate()
    {
        let change = json!({"textDocument": {"uri": URI, "version": version + 2}, "contentChanges": [{"text": text}]});
        editor.tell("textDocument/didChange", change);
        let told = editor.told("textDocument/publishDiagnostics");
        let n = told["diagnostics"].as_array().unwrap().len();
        assert!((1..=220).contains(&n), "{n}");
        let at = json!({"textDocument": {"uri": URI}, "position": {"line": 0, "character": 500_000}});
        editor.ask("textDocument/completion", at.clone());
        editor.ask("textDocument/hover", at);
    }
    assert_eq!(editor.leave(), 0);
}

#[test]
fn it_waits_for_initialize_and_ends_as_it_should() {
    let mut editor = Editor::start();
    let early = editor.answer("textDocument/hover", json!({}));
    assert_eq!(early["error"]["code"], -32002);
    editor.tell("textDocument/didOpen", json!({"nonsense": true}));
    editor.ask("initialize", json!({"capabilities": {}}));
    editor.ask("shutdown", Value::Null);
    assert_eq!(editor.answer("textDocument/hover", json!({}))["error"]["code"], -32600);
    editor.tell("exit", Value::Null);
    assert_eq!(editor.server.wait().unwrap().code(), Some(0));

    // Without a shutdown, or without a word, it was no clean end.
    let mut editor = Editor::with("");
    editor.tell("exit", Value::Null);
    assert_eq!(editor.server.wait().unwrap().code(), Some(1));
    let mut editor = Editor::with("");
    editor.to = None;
    assert_eq!(editor.server.wait().unwrap().code(), Some(1));
}

#[test]
fn the_shipped_rules_have_nothing_to_complain_about() {
    for name in ["cuda", "host", "trace", "vllm"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../rules/{name}.rules"));
        let mut editor = Editor::with(&std::fs::read_to_string(path).unwrap());
        let told = editor.told("textDocument/publishDiagnostics");
        let errors = told["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|d| d["severity"] == 1)
            .count();
        assert_eq!(errors, 0, "{name}: {told}");
    }
}
