//! The protocol: tools, prompt and resources as the SDK wants them.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptRequestParams, GetPromptResponse,
    GetPromptResult, Implementation, ListPromptsResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    Prompt, PromptArgument, PromptMessage, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    Resource, ResourceContents, Role, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler};
use serde_json::Value;

use super::text::{NOTICE, tame};
use super::tools::{State, TOOLS};

const PROMPT: &str = "investigate";
const REPORT: &str = "ingero://report/markdown";
const REPORT_JSON: &str = "ingero://report/json";
const RULES: &str = "ingero://rules/";

/// One connection.
#[derive(Clone)]
pub(super) struct Server {
    state: Arc<State>,
}

impl Server {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    fn rule_files(&self) -> impl Iterator<Item = (String, &crate::source::SourceFile)> {
        let name = |f: &crate::source::SourceFile| f.name.rsplit(['/', '\\']).next().unwrap_or("").to_owned();
        self.state.files.iter().map(move |f| (format!("{RULES}{}", name(f)), f))
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("ingero", env!("CARGO_PKG_VERSION")))
            .with_instructions(format!(
                "Ingero explains from a recorded trace why a GPU server was slow. Start with `overview`, then \
                 `diagnoses`. Numbers are measured: repeat them as they are, and say `unknown` where the trace cannot \
                 tell. {NOTICE}"
            ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = TOOLS.iter().map(|t| {
            Tool::new(t.name, t.about, Arc::new((t.schema)()))
                .with_title(t.title)
                .annotate(ToolAnnotations::new().read_only(true).destructive(false))
        });
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let state = Arc::clone(&self.state);
        let name = request.name.to_string();
        let arguments = request.arguments.unwrap_or_default();
        // Judging and querying take a while and must not hold up the connection.
        let called = tokio::task::spawn_blocking(move || state.call(&name, arguments))
            .await
            .map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
        match called {
            None => {
                let known: Vec<&str> = TOOLS.iter().map(|t| t.name).collect();
                let text = format!(
                    "there is no tool {}; there are {}",
                    tame(&request.name),
                    known.join(", ")
                );
                Err(ErrorData::invalid_params(text, None))
            }
            Some(Ok(value)) => Ok(CallToolResult::structured(value).into()),
            Some(Err(message)) => Ok(CallToolResult::error(vec![ContentBlock::text(tame(&message))]).into()),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let symptom = PromptArgument::new("symptom")
            .with_description("What users saw, in their words")
            .with_required(false);
        let prompt = Prompt::new(
            PROMPT,
            Some("Find out from the trace why the server was slow"),
            Some(vec![symptom]),
        );
        Ok(ListPromptsResult::with_all_items(vec![prompt]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name != PROMPT {
            let text = format!("there is no prompt {}; there is {PROMPT}", tame(&request.name));
            return Err(ErrorData::invalid_params(text, None));
        }
        let symptom = request.arguments.as_ref().and_then(|a| a.get("symptom"));
        let symptom = symptom.and_then(Value::as_str).unwrap_or("it was slow");
        let text = format!(
            "Find out from the recorded trace why a GPU server was slow. What users saw: {}\n\n\
             1. Call `overview`: what was recorded, and what could not be seen.\n\
             2. Call `diagnoses`, and `diagnosis` for each that may matter. A cause is proven where its time lies \
             inside the symptom on the same thread; say what the evidence is, with its numbers and ranks.\n\
             3. Look at the moment itself with `timeline`, and check by `sql` what you are not sure of.\n\
             4. If nothing fits, see in `rules_list` what could not be judged and why, ask `why_not` how near a rule \
             came, and test an idea with `rule_check` and `rule_run`.\n\
             5. Answer: root cause, proof, how sure, what would refute it, what to do. Say `unknown` where the trace \
             cannot tell. Do not make up numbers.\n\n{NOTICE}",
            tame(symptom)
        );
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut all = vec![
            Resource::new(REPORT, "report")
                .with_description("The report as Markdown")
                .with_mime_type("text/markdown"),
            Resource::new(REPORT_JSON, "report.json")
                .with_description("The report with all evidence, as JSON")
                .with_mime_type("application/json"),
        ];
        let rules = self.rule_files().map(|(uri, file)| {
            Resource::new(uri, file.name.clone())
                .with_description("Text of rules")
                .with_mime_type("text/plain")
        });
        all.extend(rules);
        Ok(ListResourcesResult::with_all_items(all))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let text = match uri {
            REPORT => self.state.markdown(),
            REPORT_JSON => self.state.json(),
            _ => match self.rule_files().find(|(known, _)| known == uri) {
                Some((_, file)) => file.text.to_string(),
                None => {
                    let text = format!("there is no resource {}", tame(uri));
                    return Err(ErrorData::resource_not_found(text, None));
                }
            },
        };
        Ok(ReadResourceResult::new(vec![ResourceContents::text(text, uri)]).into())
    }
}
