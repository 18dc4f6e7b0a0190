//! Sends to a program of the tenant's own, and says what its answer means for a message.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use super::Outcome;
use crate::calling::{Answered, Call, Caller};

/// Most bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// What a program may answer.
#[derive(Deserialize)]
struct Answer {
    external_id: Option<String>,
}

/// What calls programs.
pub(super) struct Api(Caller);

impl Api {
    pub(super) fn new(private: bool, patience: Duration) -> Api {
        Api(Caller::new(private, patience))
    }

    pub(super) async fn call(&self, call: Call<'_>) -> Outcome {
        match self.0.call(&call, ANSWER).await {
            Ok(answer) => answered(&answer),
            Err(silence) => silence.into(),
        }
    }
}

/// What an answer means.
pub(super) fn answered(answer: &Answered) -> Outcome {
    let (status, after) = (answer.status, answer.after);
    if status.is_success() {
        let told = serde_json::from_slice::<Answer>(&answer.body).ok().and_then(|answer| answer.external_id);
        return Outcome::Sent {
            external_id: told.filter(|id| !id.is_empty() && id.len() <= 300 && !id.contains(char::is_control)),
        };
    }
    let reason = answer.reason();
    match status {
        // Somebody between us and the program answers: whether that got it nobody knows.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Outcome::Unknown { reason },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Outcome::Later { reason, after }
        }
        status if status.is_server_error() => Outcome::Later { reason, after },
        _ => Outcome::Failed { reason },
    }
}
