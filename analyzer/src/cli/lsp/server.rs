//! Requests in, answers out. Knows the protocol and the texts that are open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

use super::document::{Analysis, Text};
use super::{complete, describe, document, links};
use crate::lang::diagnostic::Diagnostic;
use crate::lang::fix;
use crate::lang::fmt::format;
use crate::lang::limits;
use crate::lang::symbols::{Occurrence, SymbolKind as Named, Symbols};
use crate::lang::token::{Kind, lex};
use crate::source::{SourceFile, SourceId, Span};

/// Texts that may be open at a time.
const DOCUMENTS: usize = 256;

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
                let uri = &p.text_document.uri;
                let doc = self.analysed(uri)?;
                let byte = doc.text.byte(p.position);
                Ok(value(&CompletionResponse::Array(complete::at(doc, uri, byte))))
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
                let own = doc.symbols.at(byte).map(|p| p.span);
                let foreign = || doc.symbols.foreign_at(byte).filter(|f| doc.home(f).is_some());
                let found = own.or_else(|| foreign().map(|f| f.span));
                Ok(value(&found.map(|s| PrepareRenameResponse::Range(doc.text.range(s)))))
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
                Ok(value(&actions(doc, &uri, p.range, p.context.only.as_deref())))
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
            note::DidSaveTextDocument::METHOD => {
                // Whoever imports it sees something else now.
                self.last = None;
                self.documents.values_mut().for_each(|(_, d)| d.changed = true);
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
            let made = Analysis::new(uri, document.text.clone());
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
        let found = doc.problems().map(|d| shown(d, doc, &uri)).collect();
        self.notify::<note::PublishDiagnostics>(&PublishDiagnosticsParams::new(uri, found, Some(version)));
    }

    /// Where the name at a place is defined, in this text or another.
    fn definition(&mut self, p: &TextDocumentPositionParams) -> Result<Option<Vec<Location>>, Refused> {
        let uri = &p.text_document.uri;
        let (doc, byte) = self.place(p)?;
        if let Some(import) = doc.import_at(byte) {
            let start = Range::default();
            return Ok(Some(
                import.uri().map(|uri| Location::new(uri, start)).into_iter().collect(),
            ));
        }
        let Some(place) = doc.symbols.at(byte) else {
            let home = doc.symbols.foreign_at(byte).and_then(|f| doc.home(f));
            return Ok(home.map(|(file, symbol)| {
                let defined = file.symbols.places_of(symbol).filter(|p| p.defines);
                let at = |p: &Occurrence| Some(Location::new(file.uri()?, file.text.range(p.span)));
                defined.filter_map(at).collect()
            }));
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
        let imported = doc.imports.iter().filter_map(|i| {
            let found = i.symbols.places_of(i.symbols.rule(&name)?).find(|p| p.defines)?;
            Some(Location::new(i.uri()?, i.text.range(found.span)))
        });
        let mut found: Vec<Location> = imported.collect();
        if found.is_empty() {
            let elsewhere = self.rule_elsewhere(uri, &name);
            found.extend(elsewhere.into_iter().filter(|(_, d)| *d).map(|(l, _)| l));
        }
        Ok(Some(found))
    }

    /// Every place of the name at a place, and whether it is the definition: in this text, in the file
    /// that defines it, and in the other texts that are open or stand in the same folder.
    fn places(&mut self, p: &TextDocumentPositionParams) -> Result<Vec<(Location, bool)>, Refused> {
        let uri = &p.text_document.uri;
        let (doc, byte) = self.place(p)?;
        let own = |uri: &Uri, text: &Text, symbols: &Symbols, symbol: usize| -> Vec<(Location, bool)> {
            let all = symbols.places_of(symbol);
            all.map(|p| (Location::new(uri.clone(), text.range(p.span)), p.defines))
                .collect()
        };
        let Some(place) = doc.symbols.at(byte) else {
            let foreign = doc.symbols.foreign_at(byte);
            let Some((name, (file, symbol))) = foreign.and_then(|f| Some((f.name.clone(), doc.home(f)?))) else {
                return Ok(Vec::new());
            };
            let Some(home) = file.uri() else {
                let why = format!("`{name}` is defined in {}, which is part of the program", file.file);
                return Err((ErrorCode::InvalidParams, why));
            };
            let mut out = own(&home, &file.text, &file.symbols, symbol);
            out.extend(self.users(&home, &name));
            return Ok(out);
        };
        let mut out = own(uri, &doc.text, &doc.symbols, place.symbol);
        let symbol = &doc.symbols.symbols[place.symbol];
        let (name, kind) = (symbol.name.clone(), symbol.kind);
        if kind == Named::Rule {
            out.extend(self.rule_elsewhere(uri, &name));
        } else if kind != Named::Import && !symbol.local {
            out.extend(self.users(uri, &name));
        }
        Ok(out)
    }

    /// Places in other texts of what a file offers under a name.
    fn users(&self, home: &Uri, name: &str) -> Vec<(Location, bool)> {
        let Some(path) = links::path_of(home).and_then(|p| p.canonicalize().ok()) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (uri, text) in self.others(home) {
            let used = links::uses(&uri, &text, &path, name);
            out.extend(
                used.into_iter()
                    .map(|s| (Location::new(uri.clone(), text.range(s)), false)),
            );
        }
        out
    }

    fn rule_elsewhere(&self, but: &Uri, name: &str) -> Vec<(Location, bool)> {
        let mut out = Vec::new();
        for (uri, text) in self.others(but) {
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

    /// The other texts that are open, and the files in the folder of a text.
    fn others(&self, but: &Uri) -> Vec<(Uri, Text)> {
        let mut texts: BTreeMap<PathBuf, (Uri, Text)> = BTreeMap::new();
        let key = |uri: &Uri| links::path_of(uri).unwrap_or_else(|| Path::new(uri.as_str()).to_owned());
        for (uri, d) in self.documents.values() {
            texts.insert(key(uri), (uri.clone(), d.text.clone()));
        }
        for path in links::neighbours(but) {
            if !texts.contains_key(&path)
                && let (Some(uri), Some(text)) = (links::uri_of(&path), links::text_of(&path))
            {
                texts.insert(path, (uri, text));
            }
        }
        texts.remove(&key(but));
        texts.into_values().collect()
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
                code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, CodeActionKind::SOURCE_FIX_ALL]),
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

/// The changes that problems in a range carry with them, and all of the text at once; of the kinds that
/// the editor wants.
fn actions(doc: &Analysis, uri: &Uri, range: Range, only: Option<&[CodeActionKind]>) -> Vec<CodeActionOrCommand> {
    let (from, to) = (doc.text.byte(range.start), doc.text.byte(range.end));
    let touched = |s: Span| s.start <= to && from <= s.end;
    let wanted = |kind: &CodeActionKind| {
        // `source` stands for all that begin with it.
        let covers =
            |k: &CodeActionKind| kind.as_str() == k.as_str() || kind.as_str().starts_with(&format!("{}.", k.as_str()));
        only.is_none_or(|only| only.iter().any(covers))
    };
    let action = |title, kind, diagnostics, new| CodeAction {
        title,
        kind: Some(kind),
        diagnostics,
        edit: Some(edit([(uri.clone(), vec![new])])),
        ..CodeAction::default()
    };
    let mut out = Vec::new();
    for d in doc.problems().filter(|d| touched(d.primary.span)) {
        let Some(change) = d.edit.as_ref().filter(|_| wanted(&CodeActionKind::QUICKFIX)) else {
            continue;
        };
        let title = match (doc.text.slice(change.span), change.replacement.as_str()) {
            (old, "") => format!("Remove `{old}`"),
            ("", new) => format!("Insert `{new}`"),
            (old, new) => format!("Replace `{old}` with `{new}`"),
        };
        let new = TextEdit::new(doc.text.range(change.span), change.replacement.clone());
        let about = Some(vec![shown(d, doc, uri)]);
        out.push(CodeAction {
            is_preferred: Some(true),
            ..action(title, CodeActionKind::QUICKFIX, about, new)
        });
    }
    let (mended, done) = fix::apply(&doc.text.text, doc.problems().filter_map(|d| d.edit.as_ref()));
    if !done.is_empty() && wanted(&CodeActionKind::SOURCE_FIX_ALL) {
        let title = match done.len() {
            1 => "Make the change that is certain".to_owned(),
            n => format!("Make all {n} changes that are certain"),
        };
        let new = TextEdit::new(doc.text.whole(), mended);
        out.push(action(title, CodeActionKind::SOURCE_FIX_ALL, None, new));
    }
    out.into_iter().map(CodeActionOrCommand::CodeAction).collect()
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
                Named::Import => SymbolKind::MODULE,
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
