//! Who may see and change what, relation by relation; and that every kind says in what relation people stand to it.

use std::collections::BTreeMap;

use super::*;
use crate::{
    Aggregate,
    catalogue::{Visitor, visit_all},
    kernel::given::{ANNA, BORIS, SUBJECT, golden_path},
};

const TEAM: Id = Id::from_bits(0x7E);
const EVA: Id = Id::from_bits(0xE);

fn deal() -> Subject {
    Subject::new("deal", SUBJECT)
}

fn begun(by: Id, relations: impl IntoIterator<Item = Relation>) -> Access {
    let mut access = Access::default();
    access.happened(relations.into_iter().collect(), &Actor::user(by), Via::Api);
    access
}

/// Whether Anna may, who is in a team with Boris.
fn verdict(patterns: &[&str], permission: &str, wanted: Wanted, access: &Access) -> Verdict {
    let authority = Authority::of(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect());
    let teams = Teams::with(BTreeMap::from([(TEAM, BTreeSet::from([ANNA, BORIS]))]));
    let viewer = Viewer { user: ANNA, authority: &authority, teams: &teams };
    let access = Arc::new(access.clone());
    viewer.judge(&deal(), authority.reach(permission), wanted, &|_| Some(Arc::clone(&access)))
}

fn sees(reach: &str, access: &Access) -> bool {
    matches!(verdict(&[reach], "deal.read", Wanted::See, access), Verdict::Yes(_))
}

#[test]
fn ones_own_is_what_one_owns_works_on_asks_for_or_began() {
    let own: [fn(Id) -> Relation; 3] = [
        |user| Relation::Owner(Some(user)),
        |user| Relation::Assignee(Some(user)),
        |user| Relation::Requester(Some(user)),
    ];
    for relation in own {
        let access = |user| begun(EVA, [relation(user)]);
        assert!(sees("*.read:own", &access(ANNA)) && sees("*.read:team", &access(ANNA)));
        assert!(!sees("*.read:own", &access(BORIS)) && sees("*.read:team", &access(BORIS)), "a colleague's");
        assert!(!sees("*.read:team", &begun(EVA, [])) && sees("*.read", &begun(EVA, [])), "a stranger's");
    }
    assert!(sees("*.read:own", &begun(ANNA, [])));
    assert!(!sees("*.read:own", &begun(ANNA, [Relation::Owner(Some(EVA))])), "somebody else owns it by now");
    assert!(sees("*.read:own", &begun(ANNA, [Relation::Owner(Some(ANNA)), Relation::Owner(None)])));
    assert!(!sees("*.read:own", &begun(EVA, [Relation::Team(Some(TEAM))])));
    assert!(sees("*.read:team", &begun(EVA, [Relation::Team(Some(TEAM))])));
    assert!(!sees("contact.read", &begun(ANNA, [])), "the permission itself is missing");
    assert!(!sees("*.read:own", &Access::default()), "what does not exist is nobody's");
}

#[test]
fn nobody_begins_what_is_imported_or_done_by_deskfold_itself() {
    let by = |actor: Actor, via: Via| {
        let mut access = Access::default();
        access.happened(Vec::new(), &actor, via);
        access.creator
    };
    assert_eq!(by(Actor::user(ANNA), Via::Api), Some(ANNA));
    assert_eq!(by(Actor { on_behalf_of: Some(BORIS), ..Actor::user(ANNA) }, Via::Api), Some(BORIS));
    assert_eq!(by(Actor::user(ANNA), Via::Import), None);
    assert_eq!(by(Actor::SYSTEM, Via::Api), None);
}

#[test]
fn a_share_suffices_up_to_its_level_and_never_to_hand_on() {
    let may = |level: Level, wanted: Wanted, grantee: Id| {
        let access = begun(EVA, [Relation::Shared(grantee, level)]);
        matches!(verdict(&["deal.*:own"], "deal.read", wanted, &access), Verdict::Yes(Reason::Share { .. }))
    };
    for grantee in [ANNA, TEAM] {
        assert!(may(Level::Read, Wanted::See, grantee) && may(Level::Write, Wanted::See, grantee));
        assert!(!may(Level::Read, Wanted::Change, grantee) && may(Level::Write, Wanted::Change, grantee));
        assert!(!may(Level::Write, Wanted::Hand, grantee));
    }
    assert!(!may(Level::Write, Wanted::See, BORIS), "what a colleague was lent is not the team's");
    let taken_back = begun(EVA, [Relation::Shared(ANNA, Level::Write), Relation::Unshared(ANNA)]);
    assert!(!sees("*.read:own", &taken_back));
    assert_eq!(Wanted::of("share"), Wanted::Hand);
    assert_eq!(Wanted::of("edit"), Wanted::Change);
}

#[test]
fn a_remark_is_seen_with_what_it_is_about() {
    let offer = Subject::new("offer", Id::from_bits(0x0F));
    let comment = Subject::new("comment", Id::from_bits(0xC0));
    let known = |owner: Id| {
        let about = |subject: &Subject| begun(EVA, [Relation::About("subjects", vec![subject.clone()])]);
        let all = BTreeMap::from([
            (comment.clone(), about(&offer)),
            (offer.clone(), about(&deal())),
            (deal(), begun(owner, [Relation::Owner(Some(owner))])),
        ]);
        move |subject: &Subject| Some(Arc::new(all.get(subject).cloned().unwrap_or_default()))
    };
    let teams = Teams::default();
    let may = |patterns: &[&str], wanted: Wanted, owner: Id| {
        let authority = Authority::of(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect());
        let viewer = Viewer { user: ANNA, authority: &authority, teams: &teams };
        let permission = if wanted == Wanted::See { "comment.read" } else { "comment.edit" };
        viewer.judge(&comment, authority.reach(permission), wanted, &known(owner))
    };
    assert!(matches!(may(&["*.read:own"], Wanted::See, ANNA), Verdict::Yes(Reason::About { .. })));
    assert_eq!(may(&["*.read:own"], Wanted::See, EVA), Verdict::No);
    assert!(matches!(may(&["comment.read:own", "deal.read", "offer.read:own"], Wanted::See, EVA), Verdict::Yes(_)));
    assert_eq!(may(&["comment.read:own", "deal.read"], Wanted::See, EVA), Verdict::No, "no offer is seen");
    assert!(matches!(may(&["*.read", "comment.*:own"], Wanted::Change, ANNA), Verdict::Yes(_)));
    assert_eq!(may(&["*.read", "comment.*:own"], Wanted::Change, EVA), Verdict::No);
    let authority = Authority::of(&BTreeSet::from(["*.read:own".to_owned()]));
    let viewer = Viewer { user: ANNA, authority: &authority, teams: &teams };
    assert_eq!(viewer.sees(&comment, &|_| None), Verdict::Needs(BTreeSet::from([comment.clone()])));
    // What everybody sees opens a remark only where the remark is about nothing else.
    let product = Subject::new("product", ANNA);
    let remark = |subjects: Vec<Subject>| {
        let about = begun(EVA, [Relation::About("subjects", subjects)]);
        let owned = begun(EVA, [Relation::Owner(Some(EVA))]);
        viewer.sees(&comment, &move |subject| {
            Some(Arc::new(if *subject == deal() { owned.clone() } else { about.clone() }))
        })
    };
    assert!(matches!(remark(vec![product.clone()]), Verdict::Yes(_)));
    assert_eq!(remark(vec![product, deal()]), Verdict::No);
    // What is about itself is no more than that.
    let itself = begun(EVA, [Relation::About("subjects", vec![comment.clone()])]);
    assert_eq!(viewer.sees(&comment, &|_| Some(Arc::new(itself.clone()))), Verdict::No);
}

#[test]
fn a_reason_tells_the_teams_that_it_depends_on() {
    let authority = Authority::of(&BTreeSet::from(["*:team".to_owned()]));
    let teams = Teams::with(BTreeMap::from([(TEAM, BTreeSet::from([ANNA, BORIS])), (EVA, BTreeSet::from([BORIS]))]));
    let viewer = Viewer { user: ANNA, authority: &authority, teams: &teams };
    assert_eq!((teams.of(ANNA), teams.colleagues(ANNA)), (BTreeSet::from([TEAM]), BTreeSet::from([BORIS])));
    let own = Reason::Own { relation: Holds::Owner };
    assert!(own.groups(&viewer).is_empty());
    let level = Level::Read;
    assert_eq!(Reason::Share { with: TEAM, level }.groups(&viewer), [Subject::new("team", TEAM)]);
    assert!(Reason::Share { with: ANNA, level }.groups(&viewer).is_empty());
    let colleague = Reason::Colleague { user: BORIS, relation: Holds::Owner };
    let about = Reason::About { subject: deal(), reason: Box::new(colleague) };
    assert_eq!(about.groups(&viewer), [Subject::new("team", TEAM)]);
    assert_eq!(about.to_string(), format!("about deal {SUBJECT}, owned by colleague {BORIS}"));
}

/// Whoever adds a kind says in what relation people stand to its records, or why all are everybody's to see.
#[test]
fn every_kind_has_relations_or_is_open() {
    /// What belongs to whoever began it, and to nobody else.
    const BEGUN: [&str; 1] = ["import"];
    struct Kinds;
    impl Visitor for Kinds {
        fn visit<A: Aggregate>(&mut self) {
            let directory = golden_path(&format!("{}.x", A::KIND)).parent().unwrap().to_owned();
            let mut relations = Vec::new();
            for file in std::fs::read_dir(directory).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
                let data = serde_json::to_vec(&golden["data"]).unwrap();
                let event = A::decode(golden["type"].as_str().unwrap(), &data).unwrap();
                let told = A::relates(&event);
                let name = golden["type"].as_str().unwrap().split_once('.').unwrap().1;
                assert!(told.is_empty() || TELLING.contains(&name), "{}.{name} tells", A::KIND);
                let follows = told.iter().any(|relation| match relation {
                    Relation::About(attribute, subjects) => {
                        *attribute != "merged_into" || subjects.iter().any(|subject| subject.kind != A::KIND)
                    }
                    _ => false,
                });
                assert!(!follows || FOLLOWING.contains(&A::KIND), "{} follows others", A::KIND);
                relations.extend(told);
            }
            let told = !relations.is_empty() || BEGUN.contains(&A::KIND);
            assert!(told || A::OPEN.is_some(), "{} says nothing of who may see it", A::KIND);
            for (command, owner) in A::commands(&mut schemars::SchemaGenerator::default())
                .iter()
                .filter_map(|command| Some((command.name.clone(), command.name.strip_prefix("change_")? == "owner")))
            {
                assert!(!owner || HANDING.contains(&command.as_str()));
            }
        }
    }
    visit_all(&mut Kinds);
}

#[test]
fn what_is_shared_with_a_channel_is_its_operators_to_see_and_no_colleague_s() {
    let channel = BORIS;
    let authority = Authority::of(&BTreeSet::from(["*:team".to_owned()]));
    let operators = BTreeMap::from([(channel, BTreeSet::from([ANNA, EVA]))]);
    let teams = Teams { operators, ..Teams::default() };
    let viewer = Viewer { user: ANNA, authority: &authority, teams: &teams };
    let known = |access: Access| move |_: &Subject| Some(Arc::new(access.clone()));
    let shared = begun(EVA, [Relation::Shared(channel, Level::Write)]);
    let Verdict::Yes(reason) = viewer.judge(&deal(), Some(Reach::Own), Wanted::Change, &known(shared.clone())) else {
        panic!("an operator takes what is said in the channel");
    };
    assert_eq!(reason.groups(&viewer), [Subject::new("channel", channel)]);
    // What the other operator owns is still nobody's but hers.
    assert_eq!(viewer.sees(&deal(), &known(begun(EVA, [Relation::Owner(Some(EVA))]))), Verdict::No);
    let nobody = Teams::default();
    let viewer = Viewer { teams: &nobody, ..viewer };
    assert_eq!(viewer.sees(&deal(), &known(shared)), Verdict::No);
}
