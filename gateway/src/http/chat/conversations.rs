//! What conversations have besides lists: their messages.

use axum::{
    extract::{OriginalUri, Path, State},
    http::HeaderMap,
    response::Response,
};
use domain::{Aggregate, chat::conversation::Conversation};
use projections::{
    List, ReadModel,
    chat::{conversation_messages::ConversationMessages, conversations::Conversations as Inbox},
};

use crate::http::{
    desk::tickets::{ThreadOptions, ThreadPart, page_of, part, respond},
    kernel::{
        commands::id_of,
        lists::veiled,
        request::{self, Given},
        routes::Routes,
    },
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /conversations/{id}/messages`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/conversations/{id}/messages", messages)
}

async fn messages(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    options: Given<ThreadOptions>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("conversation.read")?;
    let id = id_of::<Conversation>(&caller, &id)?;
    let missing = || Problem::missing("conversation_unknown", "There is no such conversation.");
    let known = app.commands.find::<Conversation>(caller.tenant, id).await?.ok_or_else(missing)?;
    app.must_show(&caller, Conversation::KIND, id).await?;
    let ThreadPart { from, limit, past, wanted } = part(&app, &caller, &headers, options).await?;
    let list = List::of::<ConversationMessages>();
    request::can_be_read(list, &app).await?;
    if let Some(moment) = past {
        if projections::row_as_of::<Inbox>(&app.log, caller.tenant, id, moment).await?.is_none() {
            return Err(missing());
        }
        let position = app.log.head().await?;
        let mut data = projections::conversation_messages_as_of(&app.log, caller.tenant, id, moment).await?;
        from.0.arrange(&mut data);
        veiled(list, &app, &caller, wanted, &mut data).await?;
        return Ok(respond(data, None, position));
    }
    request::reach(&app, ConversationMessages::NAME, wanted).await?;
    let position = app.reads().models.position(ConversationMessages::NAME).await?;
    let mut data = projections::conversation_messages(&app.reads().pool, caller.tenant, id, from, limit + 1).await?;
    veiled(list, &app, &caller, wanted, &mut data).await?;
    page_of(data, limit, &uri, (position, known.reply_until), |_| true)
}
