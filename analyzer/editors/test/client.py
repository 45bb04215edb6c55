"""Talks to `ingero rules lsp` through pygls, a client that was not written for it.

Usage: client.py PATH_OF_INGERO. Exits with 1 where an answer is not as it must be.
"""

import asyncio
import pathlib
import sys
import tempfile

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

URI = "file:///nowhere/a.rules"
# Characters of one, two and four bytes, and one of two UTF-16 units, stand before what is asked about.
TEXT = """# µ → 😀
let tail = cuda.launch[duration > 3*p50]
when tail.p99 > 5*p50 => A { message "µ😀 {tail.count}"  severitty high }
"""


def place(needle: str, text: str = TEXT) -> lsp.Position:
    before = text[: text.index(needle) + len(needle)]
    line = before.rsplit("\n", 1)[-1]
    return lsp.Position(before.count("\n"), len(line.encode("utf-16-le")) // 2)


async def talk(program: str) -> None:
    client = LanguageClient("test", "1")
    published: asyncio.Queue = asyncio.Queue()

    @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def _(params: lsp.PublishDiagnosticsParams) -> None:
        published.put_nowait(params)

    await client.start_io(program, "rules", "lsp")
    hello = await client.initialize_async(lsp.InitializeParams(capabilities=lsp.ClientCapabilities()))
    assert hello.capabilities.text_document_sync == lsp.TextDocumentSyncKind.Full, hello
    client.initialized(lsp.InitializedParams())
    document = lsp.TextDocumentItem(URI, "ingero-rules", 1, TEXT)
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(document))

    told = await asyncio.wait_for(published.get(), 60)
    assert [d.code for d in told.diagnostics] == ["E0207"], told
    assert told.diagnostics[0].range.end == place("severitty"), told

    this = lsp.TextDocumentIdentifier(URI)
    actions = await client.text_document_code_action_async(
        lsp.CodeActionParams(this, told.diagnostics[0].range, lsp.CodeActionContext(told.diagnostics))
    )
    edit = actions[0].edit.document_changes[0].edits[0]
    assert (edit.new_text, edit.range) == ("severity", told.diagnostics[0].range), actions

    fix_all = [a for a in actions if a.kind == lsp.CodeActionKind.SourceFixAll]
    whole = fix_all[0].edit.document_changes[0].edits[0]
    assert whole.new_text == TEXT.replace("severitty", "severity"), actions

    mended = TEXT.replace("severitty", "severity")
    client.text_document_did_change(
        lsp.DidChangeTextDocumentParams(
            lsp.VersionedTextDocumentIdentifier(2, URI),
            [lsp.TextDocumentContentChangeWholeDocument(mended)],
        )
    )
    told = await asyncio.wait_for(published.get(), 60)
    assert (told.version, [d.code for d in told.diagnostics]) == (2, ["W0011"]), told

    items = await client.text_document_completion_async(lsp.CompletionParams(this, place("cuda.", mended)))
    assert "cudaLaunchKernel" in [i.label for i in items], items
    hover = await client.text_document_hover_async(lsp.HoverParams(this, place("=> A", mended)))
    assert "For every" in hover.contents.value, hover
    found = await client.text_document_definition_async(lsp.DefinitionParams(this, place("{ta", mended)))
    assert found[0].range.start == lsp.Position(1, 4), found
    places = await client.text_document_references_async(
        lsp.ReferenceParams(lsp.ReferenceContext(True), this, place("let t", mended))
    )
    assert len(places) == 3, places
    renamed = await client.text_document_rename_async(lsp.RenameParams(this, place("let t", mended), "rest"))
    assert len(renamed.document_changes[0].edits) == 3, renamed
    everything = lsp.Range(lsp.Position(0, 0), lsp.Position(9, 0))
    hints = await client.text_document_inlay_hint_async(lsp.InlayHintParams(this, everything))
    assert [h.label for h in hints] == ["cuda.launch.", "cuda.launch[duration > 3*p50]."], hints
    options = lsp.FormattingOptions(2, True)
    edits = await client.text_document_formatting_async(lsp.DocumentFormattingParams(this, options))
    assert "\n  severity high\n}\n" in edits[0].new_text, edits

    with tempfile.TemporaryDirectory() as folder:
        await imports(client, pathlib.Path(folder).resolve())

    await client.shutdown_async(None)
    client.exit(None)
    for _ in range(600):
        if client._server.returncode is not None:
            break
        await asyncio.sleep(0.1)
    assert client._server.returncode == 0, client._server.returncode


COMMON = "param most: Ratio = 5%\nwhen mem.oom => SHARED\n"
USER = 'import "common.rules" as c\noverride SHARED disable\nwhen share(cuda[duration > 1s]) > c.most => B\n'


async def imports(client: LanguageClient, folder: pathlib.Path) -> None:
    common = folder / "common.rules"
    common.write_text(COMMON)
    this = lsp.TextDocumentIdentifier((folder / "user.rules").as_uri())
    client.text_document_did_open(
        lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(this.uri, "ingero-rules", 1, USER))
    )
    for needle, line in [("c.mo", 0), ("override SHA", 1), ('"comm', 0)]:
        found = await client.text_document_definition_async(lsp.DefinitionParams(this, place(needle, USER)))
        assert (found[0].uri, found[0].range.start.line) == (common.as_uri(), line), (needle, found)
    renamed = await client.text_document_rename_async(lsp.RenameParams(this, place("c.mo", USER), "limit"))
    assert {d.text_document.uri for d in renamed.document_changes} == {this.uri, common.as_uri()}, renamed
    items = await client.text_document_completion_async(lsp.CompletionParams(this, place("c.", USER)))
    assert [i.label for i in items] == ["most"], items
    hover = await client.text_document_hover_async(lsp.HoverParams(this, place("c.mo", USER)))
    assert "param most: Ratio = 5%" in hover.contents.value, hover


asyncio.run(talk(sys.argv[1]))
print("1 passed, 0 failed")
