//! What chatbots have besides lists: rehearsals of their scripts.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use domain::{
    Faults, Id, Personal,
    chat::{
        chatbot::{self, Chatbot},
        script::{self, Answers, Line, Script, Stands, Step},
    },
    org::tenant::Tenant,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    request::{Body, Nothing, Params},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `POST /chatbots/rehearse`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().post("/chatbots/rehearse", rehearse)
}

/// A script, or a version of a chatbot's, and what a visitor answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RehearsalRequest")]
pub(in crate::http) struct Rehearsal {
    /// A script that is not published yet.
    #[serde(default)]
    script: Option<Script>,
    /// A chatbot, in place of a script.
    #[serde(default)]
    chatbot: Option<Id>,
    /// The version of it; the latest by default.
    #[serde(default)]
    version: Option<u32>,
    /// What the visitor writes, by step.
    #[serde(default)]
    answers: BTreeMap<String, String>,
}

/// What a chatbot would say.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rehearsed")]
pub(in crate::http) struct Rehearsed {
    /// What it says, in this order; the last line is the one whose answer it waits for, if it waits.
    says: Vec<Line>,
    /// Where it then stands.
    stands: Stands,
    /// The step whose answer it waits for.
    waits_for: Option<String>,
    /// The answers as they were understood.
    understood: BTreeMap<String, String>,
    /// Answers that it cannot take: it would ask again.
    problems: Vec<Refused>,
}

/// An answer that a chatbot cannot take.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefusedAnswer")]
pub(in crate::http) struct Refused {
    /// The step.
    step: String,
    /// A stable code.
    code: String,
    /// For a person.
    detail: String,
    /// What it would say.
    says: String,
}

async fn rehearse(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<Response, Problem> {
    caller.must("chatbot.read")?;
    let like = json!({ "script": script::example(), "answers": { "topic": "A price" } });
    let Rehearsal { script, chatbot, version, answers } = body.read(&like)?;
    let script = match (script, chatbot) {
        (Some(script), None) => {
            script::check(&script).map_err(|refusal| Problem::from(refusal).below("/script"))?;
            script
        }
        (None, Some(id)) => {
            let known = app.commands.find::<Chatbot>(caller.tenant, id).await?.ok_or_else(Chatbot::unknown)?;
            chatbot::version_of(&known, version).map_err(|refusal| refusal.at("/version"))?.1.clone()
        }
        _ => {
            let detail = "Send either a script, or the id of a chatbot with the version of its script.";
            return Err(Problem::invalid("chatbot_rehearsal_unclear", detail).at("/script"));
        }
    };
    let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
    let steps: BTreeMap<&str, &Step> = script.steps.iter().map(|step| (step.id.as_str(), step)).collect();
    let mut faults = Faults::default();
    let (mut understood, mut problems) = (Answers::new(), Vec::new());
    for (step, words) in answers {
        let Some(asked) = steps.get(step.as_str()).filter(|step| step.does.asks()) else {
            faults.add(script::STEP_UNKNOWN.at(format!("/answers/{}", pointer(&step))));
            continue;
        };
        match script::answer(asked, &words, tenant.default_country()) {
            Ok(answer) => drop(understood.insert(step, Personal(answer))),
            Err(refusal) => {
                let (code, detail) = (refusal.code.into_owned(), refusal.detail.into_owned());
                problems.push(Refused { step, code, detail, says: script::again(asked).to_owned() });
            }
        }
    }
    faults.done()?;
    let turn = script::next(&script, &understood, None);
    let understood = understood.into_iter().map(|(step, answer)| (step, answer.0)).collect();
    Ok(Json(Rehearsed { says: turn.says, stands: turn.stands, waits_for: turn.waits_for, understood, problems })
        .into_response())
}

/// A name as a step of a JSON pointer.
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
