//! The script of a chatbot: what it says, what it asks, and what follows from the answers, as a pure function of both.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Country, Faults, Id, Personal, Rejection,
    kernel::{email, phone, text},
    must,
};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Says something.
    Message,
    /// Asks something to which there are answers to choose from.
    Question,
    /// Asks for an e-mail address.
    Email,
    /// Asks for a phone number.
    Phone,
    /// Asks for words, in one line.
    FreeInputSingle,
    /// Asks for words, as many lines as it takes.
    FreeInputMulti,
    /// Opens a ticket of all that was said so far.
    CreateTicket,
    /// Hands the chat to people; nothing comes after it.
    ForwardToOperator,
}

impl Does {
    /// Whether it waits for an answer.
    pub fn asks(self) -> bool {
        !matches!(self, Does::Message | Does::CreateTicket | Does::ForwardToOperator)
    }
}

/// An answer that was chosen before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// The question: a step that comes before.
    #[schemars(extend("format" = "word"))]
    pub step: String,
    /// One of its answers.
    pub answer: String,
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its id within the script.
    #[schemars(extend("format" = "word"))]
    pub id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub does: Does,
    /// What it says.
    pub text: String,
    /// The answers that a question offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub answers: Vec<String>,
    /// It is shown only if these were chosen: one of those that belong to the same question, for each of the questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub only_if: Vec<Chosen>,
    /// What it says when the answer is none that it can take; its text once more by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    /// The title of the ticket that it opens; the first words of the visitor by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The team that the ticket is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "team"))]
    pub team: Option<Id>,
}

/// What a chatbot says and asks, in this order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its steps.
    #[schemars(length(min = 1, max = 200))]
    pub steps: Vec<Step>,
}

impl Script {
    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Whether it opens tickets.
    pub fn opens_tickets(&self) -> bool {
        self.steps.iter().any(|step| step.does == Does::CreateTicket)
    }
}

/// A script without a step.
pub const EMPTY: Rejection = Rejection::invalid("chatbot_script_empty", "A script has at least one step.");
/// A script of more steps than there may be.
pub const TOO_LONG: Rejection = Rejection::invalid("chatbot_script_too_long", "A script has at most 200 steps.");
const STEP_INVALID: Rejection =
    Rejection::invalid("chatbot_step_invalid", "A step has an id of 1 to 64 characters that no other step has.");
const TEXT_MISSING: Rejection =
    Rejection::invalid("chatbot_text_missing", "Whatever a step does, the visitor is told: say it in its text.");
const ANSWERS_INVALID: Rejection = Rejection::invalid(
    "chatbot_answers_invalid",
    "A question offers 1 to 20 answers, each other than the rest; no other step offers any.",
);
/// A step that is not there, or that nobody is asked at.
pub const STEP_UNKNOWN: Rejection =
    Rejection::invalid("chatbot_step_unknown", "This is no question of the script, or none that comes before.");
const ANSWER_UNKNOWN: Rejection = Rejection::invalid("chatbot_answer_unknown", "The question offers no such answer.");
const UNREACHABLE: Rejection =
    Rejection::invalid("chatbot_step_unreachable", "Whatever a visitor answers, this step is never shown.");
const DEAD_END: Rejection = Rejection::invalid(
    "chatbot_dead_end",
    "Some visitor answers this and hears nothing more: end with a message, a ticket or an operator.",
);
const MISPLACED: Rejection = Rejection::invalid("chatbot_member_misplaced", "A step of this type has no such member.");
const TOO_MANY_WAYS: Rejection =
    Rejection::invalid("chatbot_too_many_ways", "There are too many ways through this script to look at each.");

/// An answer that is none of those offered.
pub const NOT_OFFERED: Rejection =
    Rejection::invalid("chatbot_answer_not_offered", "This is none of the answers that are offered.");
/// An answer to a step that asks for an e-mail address.
pub const EMAIL_INVALID: Rejection = crate::kernel::valid::EMAIL_INVALID;
/// An answer to a step that asks for a phone number.
pub const PHONE_INVALID: Rejection = crate::kernel::valid::PHONE_INVALID;
/// An answer without a word.
pub const ANSWER_EMPTY: Rejection = Rejection::invalid("chatbot_answer_empty", "An answer has words.");
/// An answer of more than a line where one is asked for.
pub const ANSWER_TOO_LONG: Rejection =
    Rejection::invalid("chatbot_answer_too_long", "An answer here is one line of at most 1,000 characters.");

/// Everything that is refused when a script is published.
pub fn refusals() -> Vec<Rejection> {
    vec![
        EMPTY,
        TOO_LONG,
        STEP_INVALID,
        TEXT_MISSING,
        ANSWERS_INVALID,
        STEP_UNKNOWN,
        ANSWER_UNKNOWN,
        UNREACHABLE,
        DEAD_END,
        MISPLACED,
        TOO_MANY_WAYS,
    ]
}

/// More ways through a script than this are not looked at.
const WAYS: usize = 20_000;

/// Refuses a script that makes no sense, naming every place at fault.
///
/// # Errors
/// What is wrong with it.
pub fn check(script: &Script) -> Result<(), Rejection> {
    must(!script.steps.is_empty(), EMPTY, "/steps")?;
    must(script.steps.len() <= 200, TOO_LONG, "/steps")?;
    let mut faults = Faults::default();
    let mut known: BTreeMap<&str, &Step> = BTreeMap::new();
    for (index, step) in script.steps.iter().enumerate() {
        let at = |member: &str| format!("/steps/{index}/{member}");
        let named = (1..=64).contains(&step.id.chars().count()) && !step.id.chars().any(char::is_whitespace);
        faults.check(must(named && !known.contains_key(step.id.as_str()), STEP_INVALID, at("id")));
        faults.check(must(!text::trimmed(&step.text).is_empty(), TEXT_MISSING, at("text")));
        faults.check(must(sound_answers(step), ANSWERS_INVALID, at("answers")));
        for (member, there, fits) in [
            ("again", step.again.is_some(), step.does.asks()),
            ("title", step.title.is_some(), step.does == Does::CreateTicket),
            ("team", step.team.is_some(), step.does == Does::CreateTicket),
        ] {
            faults.check(must(!there || fits, MISPLACED, at(member)));
        }
        for (number, chosen) in step.only_if.iter().enumerate() {
            let at = |member: &str| format!("/steps/{index}/only_if/{number}/{member}");
            // Only what comes before can have been answered: thus there is no way round in circles.
            match known.get(chosen.step.as_str()).filter(|asked| asked.does == Does::Question) {
                None => faults.add(STEP_UNKNOWN.at(at("step"))),
                Some(asked) => {
                    faults.check(must(asked.answers.contains(&chosen.answer), ANSWER_UNKNOWN, at("answer")));
                }
            }
        }
        known.insert(&step.id, step);
    }
    faults.done()?;
    check_ways(script)
}

fn sound_answers(step: &Step) -> bool {
    if step.does != Does::Question {
        return step.answers.is_empty();
    }
    let distinct: BTreeSet<_> = step.answers.iter().map(|answer| text::typed(answer)).collect();
    (1..=20).contains(&step.answers.len())
        && distinct.len() == step.answers.len()
        && distinct.iter().all(|answer| !answer.is_empty() && answer.chars().count() <= 200)
}

/// A way through a script as far as what comes later depends on it: the answers that matter, and the step that was asked
/// last if nothing was said since.
type Way<'a> = (BTreeMap<&'a str, &'a str>, Option<usize>);

/// Walks all ways through a script: every step is on one of them, and each ends in words of the bot's.
fn check_ways(script: &Script) -> Result<(), Rejection> {
    // After which step nobody asks for an answer any more.
    let mut asked_until: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, step) in script.steps.iter().enumerate() {
        asked_until.extend(step.only_if.iter().map(|chosen| (chosen.step.as_str(), index)));
    }
    let mut ways: BTreeSet<Way<'_>> = BTreeSet::from([(BTreeMap::new(), None)]);
    let mut faults = Faults::default();
    let mut dead: BTreeSet<usize> = BTreeSet::new();
    for (index, step) in script.steps.iter().enumerate() {
        let mut next = BTreeSet::new();
        let mut shown = false;
        for (answers, last) in ways {
            let holds = conditions(step)
                .all(|(question, chosen)| answers.get(question).is_some_and(|answer| chosen.contains(answer)));
            if !holds {
                next.insert((forgotten(answers, &asked_until, index), last));
                continue;
            }
            shown = true;
            match step.does {
                Does::ForwardToOperator => {}
                Does::Question if asked_until.contains_key(step.id.as_str()) => {
                    for answer in &step.answers {
                        let mut answers = answers.clone();
                        answers.insert(&step.id, answer);
                        next.insert((forgotten(answers, &asked_until, index), Some(index)));
                    }
                }
                does => drop(next.insert((forgotten(answers, &asked_until, index), does.asks().then_some(index)))),
            }
        }
        faults.check(must(shown, UNREACHABLE, format!("/steps/{index}")));
        ways = next;
        must(ways.len() <= WAYS, TOO_MANY_WAYS, "/steps")?;
    }
    dead.extend(ways.iter().filter_map(|(_, last)| *last));
    for index in dead {
        faults.add(DEAD_END.at(format!("/steps/{index}")));
    }
    faults.done()
}

/// What is asked of earlier answers: by question, those of which one must have been chosen.
fn conditions(step: &Step) -> impl Iterator<Item = (&str, BTreeSet<&str>)> {
    let mut by_question: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for chosen in &step.only_if {
        by_question.entry(&chosen.step).or_default().insert(&chosen.answer);
    }
    by_question.into_iter()
}

/// The answers for which somebody still asks after this step.
fn forgotten<'a>(
    mut answers: BTreeMap<&'a str, &'a str>,
    asked_until: &BTreeMap<&str, usize>,
    index: usize,
) -> BTreeMap<&'a str, &'a str> {
    answers.retain(|question, _| asked_until.get(question).is_some_and(|until| *until > index));
    answers
}

/// What visitors answered, by step.
pub type Answers = BTreeMap<String, Personal<String>>;

/// Something that a bot says or does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The step of the script.
    pub step: String,
    /// What the step does.
    #[serde(rename = "type")]
    pub does: Does,
    /// What it says.
    pub text: String,
    /// The answers that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
}

/// Where a bot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// It waits for an answer to the last line.
    Waits,
    /// It has handed over to people.
    Forwarded,
    /// It has said everything.
    Finished,
}

/// What a bot says next, and what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// What it says, in this order.
    pub says: Vec<Line>,
    /// Where it then stands.
    pub stands: Stands,
    /// The step whose answer it waits for.
    pub waits_for: Option<String>,
}

fn line(step: &Step) -> Line {
    Line { step: step.id.clone(), does: step.does, text: step.text.clone(), answers: step.answers.clone() }
}

/// What a bot says after the step `after`, or from the beginning, to somebody who has given these answers, and what it waits
/// for then. The same script and the same answers always lead to the same words.
pub fn next(script: &Script, answers: &Answers, after: Option<&str>) -> Turn {
    let from = after.and_then(|id| script.steps.iter().position(|step| step.id == id)).map_or(0, |index| index + 1);
    let mut says = Vec::new();
    for step in &script.steps[from..] {
        let holds = conditions(step)
            .all(|(question, chosen)| answers.get(question).is_some_and(|answer| chosen.contains(answer.as_str())));
        if !holds {
            continue;
        }
        says.push(line(step));
        if step.does == Does::ForwardToOperator {
            return Turn { says, stands: Stands::Forwarded, waits_for: None };
        }
        if step.does.asks() && !answers.contains_key(&step.id) {
            return Turn { says, stands: Stands::Waits, waits_for: Some(step.id.clone()) };
        }
    }
    Turn { says, stands: Stands::Finished, waits_for: None }
}

/// The answer that a visitor's words mean to a step.
///
/// # Errors
/// Why they are none.
pub fn answer(step: &Step, words: &str, country: Option<Country>) -> Result<String, Rejection> {
    let words = text::trimmed(words);
    must(!words.is_empty(), ANSWER_EMPTY, "")?;
    Ok(match step.does {
        Does::Question => {
            let meant = text::typed(words);
            let number = words.parse::<usize>().ok().and_then(|number| step.answers.get(number.checked_sub(1)?));
            let chosen = step.answers.iter().find(|answer| text::typed(answer) == meant).or(number);
            chosen.cloned().ok_or(NOT_OFFERED)?
        }
        Does::Email => {
            must(email::is_email(words), EMAIL_INVALID, "")?;
            words.to_owned()
        }
        Does::Phone => phone::number(words, country).map(|number| number.e164).ok_or(PHONE_INVALID)?,
        Does::FreeInputSingle => {
            must(!words.contains('\n') && words.chars().count() <= 1_000, ANSWER_TOO_LONG, "")?;
            words.to_owned()
        }
        _ => words.to_owned(),
    })
}

/// What a step says when the answer was none that it can take.
pub fn again(step: &Step) -> &str {
    step.again.as_deref().unwrap_or(&step.text)
}

/// A script that does everything there is.
pub fn example() -> Script {
    let step = |id: &str, does: Does, text: &str| Step {
        id: id.to_owned(),
        does,
        text: text.to_owned(),
        answers: Vec::new(),
        only_if: Vec::new(),
        again: None,
        title: None,
        team: None,
    };
    let if_chosen = |answers: &[&str]| {
        answers.iter().map(|answer| Chosen { step: "topic".into(), answer: (*answer).to_owned() }).collect()
    };
    Script {
        steps: vec![
            step("hello", Does::Message, "Good day!"),
            Step {
                answers: ["A price", "A repair", "A person"].map(ToOwned::to_owned).to_vec(),
                ..step("topic", Does::Question, "What is it about?")
            },
            Step {
                only_if: if_chosen(&["A person"]),
                ..step("person", Does::ForwardToOperator, "One moment, please.")
            },
            Step {
                again: Some("That is no e-mail address. Which is yours?".into()),
                ..step("email", Does::Email, "At which e-mail address do we reach you?")
            },
            Step { only_if: if_chosen(&["A repair"]), ..step("phone", Does::Phone, "And under which number?") },
            step("story", Does::FreeInputMulti, "What has happened?"),
            Step { title: Some("From the chat".into()), ..step("ticket", Does::CreateTicket, "We have noted it.") },
            step("bye", Does::Message, "You will hear from us."),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, does: Does) -> Step {
        Step {
            id: id.into(),
            does,
            text: id.into(),
            answers: vec![],
            only_if: vec![],
            again: None,
            title: None,
            team: None,
        }
    }

    fn question(id: &str, answers: &[&str]) -> Step {
        Step { answers: answers.iter().map(|answer| (*answer).to_owned()).collect(), ..step(id, Does::Question) }
    }

    fn only_if(step: Step, chosen: &[(&str, &str)]) -> Step {
        let only_if = chosen.iter().map(|(step, answer)| Chosen { step: (*step).into(), answer: (*answer).into() });
        Step { only_if: only_if.collect(), ..step }
    }

    fn bye() -> Step {
        step("bye", Does::Message)
    }

    fn refused(steps: Vec<Step>) -> Vec<(String, String)> {
        let refusal = check(&Script { steps }).unwrap_err();
        assert!(refusals().contains(&refusal), "{refusal} is missing from refusals()");
        refusal.errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect()
    }

    fn at(pointer: &str, code: &str) -> Vec<(String, String)> {
        vec![(pointer.to_owned(), format!("chatbot_{code}"))]
    }

    fn answers(given: &[(&str, &str)]) -> Answers {
        given.iter().map(|(step, answer)| ((*step).to_owned(), (*answer).into())).collect()
    }

    fn says(turn: &Turn) -> Vec<&str> {
        turn.says.iter().map(|line| line.step.as_str()).collect()
    }

    #[test]
    fn what_a_script_refers_to_comes_before_and_is_there() {
        check(&example()).unwrap();
        let asks = || question("q", &["a", "b"]);
        assert_eq!(refused(vec![]), at("/steps", "script_empty"));
        assert_eq!(refused(vec![asks(), only_if(bye(), &[("x", "a")])]), at("/steps/1/only_if/0/step", "step_unknown"));
        assert_eq!(
            refused(vec![only_if(bye(), &[("q", "a")]), asks(), step("end", Does::Message)]),
            at("/steps/0/only_if/0/step", "step_unknown"),
            "later"
        );
        assert_eq!(
            refused(vec![only_if(asks(), &[("q", "a")]), bye()]),
            at("/steps/0/only_if/0/step", "step_unknown"),
            "itself"
        );
        assert_eq!(
            refused(vec![asks(), only_if(bye(), &[("q", "c")])]),
            at("/steps/1/only_if/0/answer", "answer_unknown")
        );
        let free = step("f", Does::FreeInputSingle);
        assert_eq!(refused(vec![free, only_if(bye(), &[("f", "a")])]), at("/steps/1/only_if/0/step", "step_unknown"));
        assert_eq!(refused(vec![bye(), bye()]), at("/steps/1/id", "step_invalid"));
        assert_eq!(refused(vec![Step { text: " ".into(), ..bye() }]), at("/steps/0/text", "text_missing"));
        assert_eq!(refused(vec![question("q", &["a", " A "]), bye()]), at("/steps/0/answers", "answers_invalid"));
        assert_eq!(refused(vec![question("q", &[]), bye()]), at("/steps/0/answers", "answers_invalid"));
        assert_eq!(refused(vec![Step { title: Some("x".into()), ..bye() }]), at("/steps/0/title", "member_misplaced"));
    }

    #[test]
    fn every_step_is_on_some_way_and_every_way_ends_in_words() {
        let asks = || question("q", &["a", "b"]);
        let forward = |id| step(id, Does::ForwardToOperator);
        assert_eq!(refused(vec![forward("f"), bye()]), at("/steps/1", "step_unreachable"));
        let both = vec![asks(), only_if(forward("f"), &[("q", "a"), ("q", "b")]), bye()];
        assert_eq!(refused(both), at("/steps/2", "step_unreachable"), "whatever is answered, it is forwarded");
        let never = vec![
            asks(),
            only_if(question("r", &["c"]), &[("q", "a")]),
            only_if(step("x", Does::Message), &[("q", "b"), ("r", "c")]),
            bye(),
        ];
        assert_eq!(refused(never), at("/steps/2", "step_unreachable"), "who answers b is not asked r");
        assert_eq!(refused(vec![step("mail", Does::Email)]), at("/steps/0", "dead_end"));
        let half = vec![asks(), only_if(bye(), &[("q", "a")])];
        assert_eq!(refused(half), at("/steps/0", "dead_end"), "who answers b hears nothing more");
        check(&Script { steps: vec![asks(), only_if(bye(), &[("q", "a")]), only_if(forward("f"), &[("q", "b")])] })
            .unwrap();
        let many = (0..30).map(|number| question(&format!("q{number}"), &["a", "b"]));
        let last = (0..30).map(|number| (format!("q{number}"), "a".to_owned())).collect::<Vec<_>>();
        let last = last.iter().map(|(step, answer)| (step.as_str(), answer.as_str())).collect::<Vec<_>>();
        let script = many.chain([only_if(step("x", Does::Message), &last), bye()]).collect();
        assert_eq!(refused(script), at("/steps", "too_many_ways"));
    }

    #[test]
    fn what_it_says_follows_from_the_answers() {
        let script = example();
        let turn = next(&script, &answers(&[]), None);
        assert_eq!((says(&turn), turn.stands), (vec!["hello", "topic"], Stands::Waits));
        assert_eq!(turn.says[1].answers.len(), 3);
        let person = next(&script, &answers(&[("topic", "A person")]), Some("topic"));
        assert_eq!(
            (says(&person), person.stands, person.waits_for.as_deref()),
            (vec!["person"], Stands::Forwarded, None)
        );
        let given = [("topic", "A price"), ("email", "m@example.com")];
        let price = next(&script, &answers(&given), Some("email"));
        assert_eq!(
            (says(&price), price.waits_for.as_deref()),
            (vec!["story"], Some("story")),
            "the phone is not asked"
        );
        let given = [("topic", "A repair"), ("email", "m@example.com")];
        assert_eq!(says(&next(&script, &answers(&given), Some("email"))), ["phone"]);
        let all = [("topic", "A price"), ("email", "m@example.com"), ("story", "It broke")];
        let end = next(&script, &answers(&all), Some("story"));
        assert_eq!((says(&end), end.stands), (vec!["ticket", "bye"], Stands::Finished));
        assert_eq!(says(&next(&script, &answers(&all), None)), ["hello", "topic", "email", "story", "ticket", "bye"]);
    }

    #[test]
    fn answers_of_one_question_are_one_of_them_and_those_of_several_all_of_them() {
        let steps = vec![
            question("q", &["a", "b", "c"]),
            question("r", &["d", "e"]),
            only_if(step("x", Does::Message), &[("q", "a"), ("r", "d"), ("q", "b")]),
            bye(),
        ];
        let script = Script { steps };
        check(&script).unwrap();
        let shown = |q, r| says(&next(&script, &answers(&[("q", q), ("r", r)]), Some("r"))).contains(&"x");
        assert!(shown("a", "d") && shown("b", "d"));
        assert!(!shown("c", "d") && !shown("a", "e") && !shown("b", "e"));
    }

    #[test]
    fn an_answer_is_what_was_meant() {
        let asks = question("q", &["A price", "A repair"]);
        let meant = |does, words: &str| answer(&step("s", does), words, "IT".parse().ok());
        assert_eq!(answer(&asks, " a PRICE ", None), Ok("A price".into()));
        assert_eq!(answer(&asks, "2", None), Ok("A repair".into()));
        assert_eq!(answer(&asks, "3", None), Err(NOT_OFFERED));
        assert_eq!(meant(Does::Email, "maria@example.com "), Ok("maria@example.com".into()));
        assert_eq!(meant(Does::Email, "maria"), Err(EMAIL_INVALID));
        assert_eq!(meant(Does::Phone, "06 555 0101").as_deref(), Ok("+39065550101"));
        assert_eq!(meant(Does::Phone, "none"), Err(PHONE_INVALID));
        assert_eq!(meant(Does::FreeInputSingle, "one\ntwo"), Err(ANSWER_TOO_LONG));
        assert_eq!(meant(Does::FreeInputMulti, "one\ntwo"), Ok("one\ntwo".into()));
        assert_eq!(meant(Does::FreeInputMulti, " "), Err(ANSWER_EMPTY));
    }
}
