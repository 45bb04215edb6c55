//! Requests in, answers out. Knows the protocol and the texts that are open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, str};

use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::notification::{self as note, Notification as _};
use lsp_types::request::{self as ask, Request as _};
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOptions, CodeActionOrCommand, CodeActionProviderCapability,
    CompletionOptions, CompletionResponse, DiagnosticRelatedInformation, DiagnosticSeverity, DocumentSymbol,
    DocumentSymbolResponse, GotoDefinitionResponse, HoverProviderCapability, InitializeResult, Location,
    NumberOrString, OneOf, PrepareRenameResponse, PublishDiagnosticsParams, Range, RenameOptions, ServerCapabilities,
    ServerInfo, SymbolKind, TextDocumentPositionParams, TextDocumentSyncCapability, TextDocumentSyncKind, TextEdit,
    Uri, WorkspaceEdit,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::sources;
use super::document::{Analysis, Text};
use super::{complete, describe, document};
use crate::lang::diagnostic::Diagnostic;
use crate::lang::fmt::format;
use crate::lang::limits;
use crate::lang::symbols::SymbolKind as Named;
use crate::lang::token::{Kind, lex};
use crate::source::{SourceFile, SourceId, Span};

/// Texts that may be open at a time.
const DOCUMENTS: usize = 256;
/// Files beside a text in which rules are looked up.
const NEIGHBOURS: usize = 64;

/// Why a request has no answer.
type Refused = (ErrorCode, String);

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    ShutDown,
}

/// A text that is open.
struct Document {
    version: i32,
    text: Text,
    /// Its problems were not published since it changed.
    changed: bool,
}

/// The state of a conversation with one editor.
pub(super) struct Server {
    phase: Phase,
    documents: BTreeMap<String, (Uri, Document)>,
    /// What was found out about the text that was asked about last.
    last: Option<(String, i32, Analysis)>,
    out: Vec<Message>,
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::New,
            documents: BTreeMap::new(),
            last: None,
            out: Vec::new(),
        }
    }

    /// Messages to be sent.
    pub(super) fn sent(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.out)
    }

    /// Says something in the editor's log.
    pub(super) fn log(&mut self, text: String) {
        let params = lsp_types::LogMessageParams {
            typ: lsp_types::MessageType::WARNING,
            message: text,
        };
        self.notify::<note::LogMessage>(&params);
    }

    fn notify<N: note::Notification>(&mut self, params: &N::Params)
    where
        N::Params: Serialize,
    {
        self.out.push(Notification::new(N::METHOD.to_owned(), params).into());
    }

    /// Handles a message; `Some(clean)` where the editor says goodbye.
    pub(super) fn handle(&mut self, message: Message) -> Option<bool> {
        match message {
            Message::Request(request) => {
                let id = request.id.clone();
                let answer = self.request(request);
                self.out.push(response(id, answer).into());
                None
            }
            Message::Notification(n) if n.method == note::Exit::METHOD => Some(self.phase == Phase::ShutDown),
            Message::Notification(n) => {
                let method = n.method.clone();
                if self.phase == Phase::Running
                    && let Err(e) = self.notified(n)
                {
                    self.log(format!("{method}: {e}"));
                }
                None
            }
            // This server asks nothing.
            Message::Response(_) => None,
        }
    }

    /// Publishes the problems of every text that changed.
    pub(super) fn settle(&mut self) {
        let changed: Vec<String> = self
            .documents
            .iter()
            .filter(|(_, (_, d))| d.changed)
            .map(|(uri, _)| uri.clone())
            .collect();
        for uri in changed {
            self.publish(&uri);
        }
    }

    fn request(&mut self, r: Request) -> Result<Value, Refused> {
        match (self.phase, r.method.as_str()) {
            (Phase::New, ask::Initialize::METHOD) => {
                self.phase = Phase::Running;
                return Ok(value(&capabilities()));
            }
            (Phase::New, _) => return Err((ErrorCode::ServerNotInitialized, "not initialized yet".into())),
            (Phase::ShutDown, _) => return Err((ErrorCode::InvalidRequest, "shut down already".into())),
            (Phase::Running, ask::Shutdown::METHOD) => {
                self.phase = Phase::ShutDown;
                return Ok(Value::Null);
            }
            (Phase::Running, ask::Initialize::METHOD) => {
                return Err((ErrorCode::InvalidRequest, "initialized already".into()));
            }
            (Phase::Running, _) => {}
        }
        match r.method.as_str() {
            ask::Completion::METHOD => {
                let p = params::<ask::Completion>(r)?.text_document_position;
                let doc = self.analysed(&p.text_document.uri)?;
                let byte = doc.text.byte(p.position);
                Ok(value(&CompletionResponse::Array(complete::at(doc, byte))))
            }
            ask::HoverRequest::METHOD => {
                let (doc, byte) = self.place(&params::<ask::HoverRequest>(r)?.text_document_position_params)?;
                Ok(value(&describe::hover(doc, byte)))
            }
            ask::GotoDefinition::METHOD => {
                let p = params::<ask::GotoDefinition>(r)?.text_document_position_params;
                Ok(value(&self.definition(&p)?.map(GotoDefinitionResponse::Array)))
            }
            ask::References::METHOD => {
                let p = params::<ask::References>(r)?;
                let definition = p.context.include_declaration;
                let places = self.places(&p.text_document_position)?;
                let found = places.into_iter().filter(|(_, defines)| definition || !defines);
                Ok(value(&found.map(|(l, _)| l).collect::<Vec<_>>()))
            }
            ask::PrepareRenameRequest::METHOD => {
                let (doc, byte) = self.place(&params::<ask::PrepareRenameRequest>(r)?)?;
                let found = doc
                    .symbols
                    .at(byte)
                    .map(|p| PrepareRenameResponse::Range(doc.text.range(p.span)));
                Ok(value(&found))
            }
            ask::Rename::METHOD => {
                let p = params::<ask::Rename>(r)?;
                self.rename(&p.text_document_position, &p.new_name)
            }
            ask::Formatting::METHOD => {
                let uri = params::<ask::Formatting>(r)?.text_document.uri;
                let text = &self.document(&uri)?.text;
                let formatted = format(&SourceFile::new("", std::sync::Arc::clone(&text.text)));
                // A text with mistakes is left alone; they are shown already.
                Ok(formatted.map_or(Value::Null, |new| {
                    let same = *new == *text.text;
                    let edits = if same {
                        vec![]
                    } else {
                        vec![TextEdit::new(text.whole(), new)]
                    };
                    value(&edits)
                }))
            }
            ask::CodeActionRequest::METHOD => {
                let p = params::<ask::CodeActionRequest>(r)?;
                let uri = p.text_document.uri;
                let doc = self.analysed(&uri)?;
                Ok(value(&actions(doc, &uri, p.range)))
            }
            ask::InlayHintRequest::METHOD => {
                let p = params::<ask::InlayHintRequest>(r)?;
                Ok(value(&describe::hints(self.analysed(&p.text_document.uri)?, p.range)))
            }
            ask::DocumentSymbolRequest::METHOD => {
                let uri = params::<ask::DocumentSymbolRequest>(r)?.text_document.uri;
                Ok(value(&DocumentSymbolResponse::Nested(outline(self.analysed(&uri)?))))
            }
            other => Err((ErrorCode::MethodNotFound, format!("`{other}` is not served"))),
        }
    }

    fn notified(&mut self, n: Notification) -> Result<(), String> {
        fn read<N: note::Notification>(n: Notification) -> Result<N::Params, String> {
            serde_json::from_value(n.params).map_err(|e| e.to_string())
        }
        match n.method.as_str() {
            note::DidOpenTextDocument::METHOD => {
                let d = read::<note::DidOpenTextDocument>(n)?.text_document;
                if self.documents.len() >= DOCUMENTS && !self.documents.contains_key(d.uri.as_str()) {
                    return Err(format!("{DOCUMENTS} texts are open already; this one is not looked at"));
                }
                self.store(d.uri, d.version, d.text);
            }
            note::DidChangeTextDocument::METHOD => {
                let p = read::<note::DidChangeTextDocument>(n)?;
                let uri = p.text_document.uri;
                self.document(&uri).map_err(|(_, why)| why)?;
                // The whole text comes with each change; the last one counts.
                if let Some(change) = p.content_changes.into_iter().next_back() {
                    self.store(uri, p.text_document.version, change.text);
                }
            }
            note::DidCloseTextDocument::METHOD => {
                let uri = read::<note::DidCloseTextDocument>(n)?.text_document.uri;
                self.documents.remove(uri.as_str());
                self.last = self.last.take().filter(|(of, ..)| of != uri.as_str());
                self.notify::<note::PublishDiagnostics>(&PublishDiagnosticsParams::new(uri, Vec::new(), None));
            }
            _ => {}
        }
        Ok(())
    }

    fn store(&mut self, uri: Uri, version: i32, mut text: String) {
        // One byte more than is allowed is enough to be told that it is too long.
        text.truncate(text.floor_char_boundary(limits::FILE_BYTES + 4));
        let document = Document {
            version,
            text: Text::new(text),
            changed: true,
        };
        self.documents.insert(uri.as_str().to_owned(), (uri, document));
    }

    fn document(&self, uri: &Uri) -> Result<&Document, Refused> {
        let found = self.documents.get(uri.as_str()).map(|(_, d)| d);
        found.ok_or_else(|| (ErrorCode::InvalidParams, format!("{} is not open", uri.as_str())))
    }

    /// The analysis of a text, made anew only where it changed.
    fn analysed(&mut self, uri: &Uri) -> Result<&Analysis, Refused> {
        let document = self.document(uri)?;
        let version = document.version;
        let known = matches!(&self.last, Some((of, v, a)) if of == uri.as_str() && *v == version
            && std::sync::Arc::ptr_eq(&a.text.text, &document.text.text));
        if !known {
            let made = Analysis::new(uri.as_str(), document.text.clone());
            self.last = Some((uri.as_str().to_owned(), version, made));
        }
        let found = self.last.as_ref().map(|(.., analysis)| analysis);
        found.ok_or_else(|| (ErrorCode::InternalError, "no analysis".to_owned()))
    }

    fn place(&mut self, p: &TextDocumentPositionParams) -> Result<(&Analysis, u32), Refused> {
        let doc = self.analysed(&p.text_document.uri)?;
        Ok((doc, doc.text.byte(p.position)))
    }

    fn publish(&mut self, key: &str) {
        let Some((uri, document)) = self.documents.get_mut(key) else {
            return;
        };
        document.changed = false;
        let (uri, version) = (uri.clone(), document.version);
        let Ok(doc) = self.analysed(&uri) else { return };
        let all = doc.compiled.diagnostics.iter();
        let found = all.map(|d| shown(d, doc, &uri)).collect();
        self.notify::<note::PublishDiagnostics>(&PublishDiagnosticsParams::new(uri, found, Some(version)));
    }

    /// Where the name at a place is defined; a rule also in another text.
    fn definition(&mut self, p: &TextDocumentPositionParams) -> Result<Option<Vec<Location>>, Refused> {
        let uri = &p.text_document.uri;
        let (doc, byte) = self.place(p)?;
        let Some(place) = doc.symbols.at(byte) else {
            return Ok(None);
        };
        let here: Vec<Location> = doc
            .symbols
            .places_of(place.symbol)
            .filter(|p| p.defines)
            .map(|p| Location::new(uri.clone(), doc.text.range(p.span)))
            .collect();
        let symbol = &doc.symbols.symbols[place.symbol];
        if !here.is_empty() || symbol.kind != Named::Rule {
            return Ok(Some(here));
        }
        let name = symbol.name.clone();
        let elsewhere = self.rule_elsewhere(uri, &name);
        Ok(Some(
            elsewhere.into_iter().filter(|(_, d)| *d).map(|(l, _)| l).collect(),
        ))
    }

    /// Every place of the name at a place, and whether it is the definition; of a rule, also in the
    /// other texts that are open or stand in the same folder.
    fn places(&mut self, p: &TextDocumentPositionParams) -> Result<Vec<(Location, bool)>, Refused> {
        let uri = &p.text_document.uri;
        let (doc, byte) = self.place(p)?;
        let Some(place) = doc.symbols.at(byte) else {
            return Ok(Vec::new());
        };
        let mut out: Vec<(Location, bool)> = doc
            .symbols
            .places_of(place.symbol)
            .map(|p| (Location::new(uri.clone(), doc.text.range(p.span)), p.defines))
            .collect();
        let symbol = &doc.symbols.symbols[place.symbol];
        if symbol.kind == Named::Rule {
            let name = symbol.name.clone();
            out.extend(self.rule_elsewhere(uri, &name));
        }
        Ok(out)
    }

    fn rule_elsewhere(&self, but: &Uri, name: &str) -> Vec<(Location, bool)> {
        let mut texts: BTreeMap<String, (Uri, Text)> = self
            .documents
            .values()
            .map(|(uri, d)| (uri.as_str().to_owned(), (uri.clone(), d.text.clone())))
            .collect();
        for path in neighbours(but) {
            let small = fs::metadata(&path).is_ok_and(|m| m.len() <= limits::FILE_BYTES as u64);
            if let (Some(uri), true) = (uri_of(&path), small)
                && !texts.contains_key(uri.as_str())
                && let Ok(text) = fs::read_to_string(&path)
            {
                texts.insert(uri.as_str().to_owned(), (uri, Text::new(text)));
            }
        }
        texts.remove(but.as_str());
        let mut out = Vec::new();
        for (uri, text) in texts.into_values() {
            if !text.text.contains(name) {
                continue;
            }
            let symbols = document::names(&text);
            let Some(symbol) = symbols.rule(name) else { continue };
            let places = symbols.places_of(symbol);
            out.extend(places.map(|p| (Location::new(uri.clone(), text.range(p.span)), p.defines)));
        }
        out
    }

    fn rename(&mut self, p: &TextDocumentPositionParams, new: &str) -> Result<Value, Refused> {
        let tokens = lex(SourceId(0), new);
        let [one, end] = tokens.tokens.as_slice() else {
            return Err((ErrorCode::InvalidParams, format!("`{new}` is not one name")));
        };
        let is_name = match &one.kind {
            Kind::Name(n) => !crate::lang::parser::RESERVED_WORDS.contains(&&**n),
            Kind::Quoted(_) => true,
            _ => false,
        };
        if !is_name || one.span != Span::new(0, new.len()) || end.kind != Kind::End || !tokens.diagnostics.is_empty() {
            return Err((ErrorCode::InvalidParams, format!("`{new}` cannot be a name")));
        }
        let mut changes: BTreeMap<String, (Uri, Vec<TextEdit>)> = BTreeMap::new();
        for (at, _) in self.places(p)? {
            let edits = changes
                .entry(at.uri.as_str().to_owned())
                .or_insert_with(|| (at.uri.clone(), Vec::new()));
            edits.1.push(TextEdit::new(at.range, new.to_owned()));
        }
        if changes.is_empty() {
            return Err((ErrorCode::InvalidParams, "nothing here can be renamed".to_owned()));
        }
        Ok(value(&edit(changes.into_values())))
    }
}

fn edit(changes: impl IntoIterator<Item = (Uri, Vec<TextEdit>)>) -> WorkspaceEdit {
    let documents = changes.into_iter().map(|(uri, edits)| lsp_types::TextDocumentEdit {
        text_document: lsp_types::OptionalVersionedTextDocumentIdentifier { uri, version: None },
        edits: edits.into_iter().map(OneOf::Left).collect(),
    });
    WorkspaceEdit {
        document_changes: Some(lsp_types::DocumentChanges::Edits(documents.collect())),
        ..WorkspaceEdit::default()
    }
}

fn response(id: RequestId, answer: Result<Value, Refused>) -> Response {
    match answer {
        Ok(value) => Response::new_ok(id, value),
        Err((code, why)) => Response::new_err(id, code as i32, why),
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or(Value::Null)
}

fn params<R: ask::Request>(r: Request) -> Result<R::Params, Refused>
where
    R::Params: DeserializeOwned,
{
    serde_json::from_value(r.params).map_err(|e| (ErrorCode::InvalidParams, e.to_string()))
}

fn capabilities() -> InitializeResult {
    let triggers = [".", "@", "[", "(", "{", ":", " "].map(str::to_owned);
    InitializeResult {
        capabilities: ServerCapabilities {
            text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::FULL)),
            completion_provider: Some(CompletionOptions {
                trigger_characters: Some(triggers.into()),
                ..CompletionOptions::default()
            }),
            hover_provider: Some(HoverProviderCapability::Simple(true)),
            definition_provider: Some(OneOf::Left(true)),
            references_provider: Some(OneOf::Left(true)),
            rename_provider: Some(OneOf::Right(RenameOptions {
                prepare_provider: Some(true),
                work_done_progress_options: lsp_types::WorkDoneProgressOptions::default(),
            })),
            document_formatting_provider: Some(OneOf::Left(true)),
            document_symbol_provider: Some(OneOf::Left(true)),
            code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]),
                ..CodeActionOptions::default()
            })),
            inlay_hint_provider: Some(OneOf::Left(true)),
            ..ServerCapabilities::default()
        },
        server_info: Some(ServerInfo {
            name: "ingero rules lsp".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
    }
}

fn shown(d: &Diagnostic, doc: &Analysis, uri: &Uri) -> lsp_types::Diagnostic {
    let severity = if d.is_error() {
        DiagnosticSeverity::ERROR
    } else {
        DiagnosticSeverity::WARNING
    };
    let help = d.help.as_ref().map_or(String::new(), |h| format!("\nhelp: {h}"));
    let related = d.secondary.iter().map(|l| DiagnosticRelatedInformation {
        location: Location::new(uri.clone(), doc.text.range(l.span)),
        message: l.text.clone(),
    });
    lsp_types::Diagnostic {
        range: doc.text.range(d.primary.span),
        severity: Some(severity),
        code: Some(NumberOrString::String(d.code.as_str().to_owned())),
        source: Some("ingero".to_owned()),
        message: format!("{}{help}", d.message),
        related_information: Some(related.collect()),
        ..lsp_types::Diagnostic::default()
    }
}

/// The changes that problems in a range carry with them.
fn actions(doc: &Analysis, uri: &Uri, range: Range) -> Vec<CodeActionOrCommand> {
    let (from, to) = (doc.text.byte(range.start), doc.text.byte(range.end));
    let touched = |s: Span| s.start <= to && from <= s.end;
    let mut out = Vec::new();
    for d in doc.compiled.diagnostics.iter().filter(|d| touched(d.primary.span)) {
        let Some(change) = &d.edit else { continue };
        let title = match (doc.text.slice(change.span), change.replacement.as_str()) {
            (old, "") => format!("Remove `{old}`"),
            ("", new) => format!("Insert `{new}`"),
            (old, new) => format!("Replace `{old}` with `{new}`"),
        };
        let new = TextEdit::new(doc.text.range(change.span), change.replacement.clone());
        out.push(CodeActionOrCommand::CodeAction(CodeAction {
            title,
            kind: Some(CodeActionKind::QUICKFIX),
            diagnostics: Some(vec![shown(d, doc, uri)]),
            edit: Some(edit([(uri.clone(), vec![new])])),
            is_preferred: Some(true),
            ..CodeAction::default()
        }));
    }
    out
}

/// The definitions of a text.
fn outline(doc: &Analysis) -> Vec<DocumentSymbol> {
    let places = doc.symbols.places.iter().filter(|p| p.defines);
    places
        .filter_map(|p| {
            let symbol = &doc.symbols.symbols[p.symbol];
            let kind = match symbol.kind {
                Named::Rule => SymbolKind::EVENT,
                Named::Let => SymbolKind::VARIABLE,
                Named::Param => SymbolKind::CONSTANT,
                Named::Set => SymbolKind::ARRAY,
                Named::Segment => SymbolKind::NAMESPACE,
            };
            #[expect(deprecated, reason = "the struct has a field that is")]
            Some(DocumentSymbol {
                name: symbol.name.clone(),
                detail: None,
                kind,
                tags: None,
                deprecated: None,
                range: doc.text.range(symbol.item?),
                selection_range: doc.text.range(p.span),
                children: None,
            })
        })
        .collect()
}

/// The files of rules in the folder of a text.
fn neighbours(uri: &Uri) -> Vec<PathBuf> {
    let dir = path_of(uri).and_then(|p| p.parent().map(Path::to_owned));
    let mut paths = dir.and_then(|d| sources::in_folder(&d).ok()).unwrap_or_default();
    paths.truncate(NEIGHBOURS);
    paths
}

/// The path behind a `file:` address.
fn path_of(uri: &Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    let mut bytes = Vec::new();
    let mut chars = rest.bytes();
    while let Some(b) = chars.next() {
        if b == b'%' {
            let hex = [chars.next()?, chars.next()?];
            bytes.push(u8::from_str_radix(str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(b);
        }
    }
    Some(PathBuf::from(String::from_utf8(bytes).ok()?))
}

/// The `file:` address of a path.
fn uri_of(path: &Path) -> Option<Uri> {
    use std::fmt::Write as _;
    let mut out = "file://".to_owned();
    for b in path.to_str()?.bytes() {
        if b.is_ascii_alphanumeric() || b"/-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_addresses_and_back() {
        for path in ["/a/b.rules", "/a b/ü%#.rules"] {
            let uri = uri_of(Path::new(path)).unwrap();
            assert_eq!(path_of(&uri).unwrap(), Path::new(path), "{}", uri.as_str());
        }
        assert_eq!(path_of(&"untitled:one".parse().unwrap()), None);
    }
}
