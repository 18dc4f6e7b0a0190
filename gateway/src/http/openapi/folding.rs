//! The document folded: what is the same is said once, in forms of which generators of clients make types that people would.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::schemas::{COMPONENTS, pascal};

/// Folds a whole document; what it says stays the same.
pub(super) fn fold(document: &mut Value) {
    flow(document);
    each_root(document, &mut |schema| each(schema, &mut tidy));
    rename(document, &aliases(document));
    leave_out_unused(document);
    loop {
        let same = alike(document);
        if same.is_empty() {
            break;
        }
        for (name, mut schema, _) in same.clone() {
            if name.ends_with(BODY)
                && let Value::Object(members) = &mut schema
            {
                members.remove("description");
            }
            document["components"]["schemas"][name] = schema;
        }
        let names =
            same.into_iter().flat_map(|(name, _, others)| others.into_iter().map(move |old| (old, name.clone())));
        rename(document, &names.filter(|(old, new)| old != new).collect());
    }
    entitle(document);
    share_answers(document);
}

/// Undoes the line breaks of docstrings within paragraphs: where a line ends is for whoever shows it to say.
fn flow(part: &mut Value) {
    match part {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = flowing(text),
                    // What somebody would send.
                    _ if name == "example" || name == "examples" => {}
                    _ => flow(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(flow),
        _ => {}
    }
}

fn flowing(text: &str) -> String {
    let paragraph = |text: &str| {
        let is_prose = text.lines().all(|line| !line.starts_with(['-', '|', '#', '`', ' ']));
        if is_prose { text.replace('\n', " ") } else { text.to_owned() }
    };
    text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// Shows every schema of the document that stands in no other.
fn each_root(document: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    let of_content = |holder: &mut Value, visit: &mut dyn FnMut(&mut Value)| {
        let content = holder.get_mut("content").and_then(Value::as_object_mut);
        content.into_iter().flat_map(Map::values_mut).filter_map(|content| content.get_mut("schema")).for_each(visit);
    };
    if let Some(paths) = document["paths"].as_object_mut() {
        for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            parameters.into_iter().flatten().filter_map(|parameter| parameter.get_mut("schema")).for_each(&mut *visit);
            if let Some(body) = operation.get_mut("requestBody") {
                of_content(body, visit);
            }
            let answers = operation.get_mut("responses").and_then(Value::as_object_mut);
            answers.into_iter().flat_map(Map::values_mut).for_each(|answer| of_content(answer, visit));
        }
    }
    let Some(components) = document["components"].as_object_mut() else { return };
    for (section, members) in components {
        for member in members.as_object_mut().into_iter().flat_map(Map::values_mut) {
            match section.as_str() {
                "schemas" => visit(member),
                "responses" => of_content(member, visit),
                "parameters" | "headers" => member.get_mut("schema").into_iter().for_each(&mut *visit),
                _ => {}
            }
        }
    }
}

/// Shows a schema and all within it, the inner ones first.
fn each(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(members) = schema else { return };
    for (keyword, member) in members.iter_mut() {
        match (keyword.as_str(), member) {
            ("properties" | "patternProperties" | "dependentSchemas", Value::Object(named)) => {
                named.values_mut().for_each(|schema| each(schema, visit));
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|schema| each(schema, visit));
            }
            (
                "items" | "additionalProperties" | "propertyNames" | "not" | "if" | "then" | "else" | "contentSchema",
                schema,
            ) => each(schema, visit),
            _ => {}
        }
    }
    visit(members);
}

/// Says it in the form that generators understand best.
fn tidy(schema: &mut Map<String, Value>) {
    choices(schema);
    nullable(schema);
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    let texts = |values: &Value| values.as_array().is_some_and(|values| values.iter().all(Value::is_string));
    if schema.get("enum").is_some_and(texts) {
        schema.entry("type").or_insert(json!("string"));
    }
    // A map by ids.
    if schema.get("additionalProperties") == Some(&json!(false))
        && !schema.contains_key("properties")
        && let Some(Value::Object(patterns)) = schema.remove("patternProperties")
    {
        for (pattern, values) in patterns {
            schema.insert("propertyNames".to_owned(), json!({ "pattern": pattern }));
            schema.insert("additionalProperties".to_owned(), values);
        }
    }
}

/// One of several words, each with its meaning, is an enumeration whose description lists them.
fn choices(schema: &mut Map<String, Value>) {
    let words = |choice: &Value| -> Option<Vec<Value>> {
        let one = choice.get("const").map(|word| vec![word.clone()]);
        one.or_else(|| choice["enum"].as_array().cloned()).filter(|words| words.iter().all(Value::is_string))
    };
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let Some(all) = choices.iter().map(words).collect::<Option<Vec<_>>>() else { return };
    let lines: Vec<_> = choices
        .iter()
        .filter_map(|choice| {
            let (word, meaning) = (choice["const"].as_str()?, choice["description"].as_str()?);
            Some(format!("- `{word}`: {}", meaning.replace('\n', " ")))
        })
        .collect();
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), all.concat().into());
    if !lines.is_empty() {
        let before = schema.get("description").and_then(Value::as_str).map(|text| format!("{text}\n\n"));
        let text = format!("{}{}", before.unwrap_or_default(), lines.join("\n"));
        schema.insert("description".to_owned(), text.into());
    }
}

/// Or nothing: said once, beside what is said of the value.
fn nullable(schema: &mut Map<String, Value>) {
    let Some([Value::Object(inner), nothing]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) else {
        return;
    };
    if *nothing != json!({ "type": "null" }) {
        return;
    }
    let mut inner = inner.clone();
    let already = inner.get("anyOf").and_then(Value::as_array).is_some_and(|choices| choices.last() == Some(nothing));
    if already {
        schema.remove("anyOf");
    } else if let Some(path) = inner.remove("$ref") {
        schema.insert("anyOf".to_owned(), json!([{ "$ref": path }, nothing]));
    } else {
        return;
    }
    inner.remove("default");
    for (keyword, value) in inner {
        schema.entry(keyword).or_insert(value);
    }
}

/// Shows every reference in a part of the document.
fn each_reference(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(path) if name == "$ref" => visit(path),
                    member => each_reference(member, visit),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_reference(item, visit)),
        _ => {}
    }
}

/// Schemas that are others by another name.
fn aliases(document: &Value) -> BTreeMap<String, String> {
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    let aliases = schemas.filter_map(|(name, schema)| {
        let only = schema.as_object()?.keys().all(|keyword| keyword == "$ref" || keyword == "description");
        let path = schema["$ref"].as_str().filter(|_| only)?;
        Some((name.clone(), path.strip_prefix(COMPONENTS)?.to_owned()))
    });
    aliases.collect()
}

/// Calls schemas by their new names, and leaves out the old ones.
fn rename(document: &mut Value, names: &BTreeMap<String, String>) {
    each_reference(document, &mut |path| {
        let mut name = path.strip_prefix(COMPONENTS);
        while let Some(next) = name.and_then(|name| names.get(name)) {
            name = Some(next);
        }
        if let Some(name) = name.filter(|name| !path.ends_with(&format!("/{name}"))) {
            *path = format!("{COMPONENTS}{name}");
        }
    });
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| !names.contains_key(name));
    }
}

/// Leaves out schemas that nothing leads to.
fn leave_out_unused(document: &mut Value) {
    let mut schemas = document["components"]["schemas"].take();
    let (mut used, mut open) = (BTreeSet::new(), Vec::new());
    let mut note = |path: &mut String, open: &mut Vec<String>| {
        if let Some(name) = path.strip_prefix(COMPONENTS)
            && used.insert(name.to_owned())
        {
            open.push(name.to_owned());
        }
    };
    each_reference(document, &mut |path| note(path, &mut open));
    while let Some(name) = open.pop() {
        each_reference(&mut schemas[name], &mut |path| note(path, &mut open));
    }
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.retain(|name, _| used.contains(name));
    }
    document["components"]["schemas"] = schemas;
}

/// How what commands take is called at its end, and what several of them take.
const COMMAND: &str = "Command";
const BODY: &str = "Body";

/// Words that say nothing without what stands before them.
const VAGUE: &[&str] = &["Kind", "Status", "Type", COMMAND];

/// Schemas that say the same: the name for all, what they say, and their own names.
fn alike(document: &Value) -> Vec<(String, Value, Vec<String>)> {
    let Some(schemas) = document["components"]["schemas"].as_object() else { return Vec::new() };
    let mut groups: BTreeMap<(bool, String), Vec<&String>> = BTreeMap::new();
    for (name, schema) in schemas {
        let mut schema = schema.clone();
        // What a command does is said where it is issued.
        let command = name.ends_with(COMMAND);
        if let Some(members) = schema.as_object_mut().filter(|_| command) {
            members.remove("description");
        }
        groups.entry((command, schema.to_string())).or_default().push(name);
    }
    let mut taken = BTreeSet::new();
    let several = groups.into_values().filter(|names| names.len() > 1);
    let several = several.map(|names| {
        let schema = &schemas[names[0]];
        let free = |name: &String| !name.is_empty() && (!schemas.contains_key(name) || names.contains(&name));
        let shortest = names.iter().min_by_key(|name| (name.len(), **name)).map_or("", |name| name);
        let name = Some(common_name(&names, schema)).filter(free).unwrap_or_else(|| shortest.to_owned());
        let name = if taken.insert(name.clone()) { name } else { shortest.to_owned() };
        (name, schema.clone(), names.into_iter().cloned().collect())
    });
    several.collect()
}

/// What schemas that say the same have in common in their names; of commands that are called differently, what they hold.
fn common_name(names: &[&String], schema: &Value) -> String {
    let split: Vec<_> = names.iter().map(|name| words(name)).collect();
    let shortest = split.iter().map(Vec::len).min().unwrap_or_default();
    let same = |at: &dyn Fn(&[&str]) -> Option<String>| split.iter().all(|words| at(words) == at(&split[0]));
    let ending = (1..=shortest).take_while(|n| same(&|words| Some(words[words.len() - n].to_owned()))).count();
    let opening = (0..shortest - ending).take_while(|n| same(&|words| Some(words[*n].to_owned()))).count();
    let first = &split[0];
    let name = [&first[..opening], &first[first.len() - ending..]].concat().concat();
    if !VAGUE.contains(&name.as_str()) && (ending > 1 || !name.ends_with(COMMAND)) {
        return name;
    }
    if !names[0].ends_with(COMMAND) {
        return String::new();
    }
    let properties: Vec<_> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| pascal(name)).collect();
    match properties.as_slice() {
        [] if schema["additionalProperties"] == true => format!("MergePatch{BODY}"),
        [] => format!("Empty{BODY}"),
        [_] | [_, _] => format!("{}{BODY}", properties.concat()),
        _ => String::new(),
    }
}

/// `TicketLinkKind` as `Ticket`, `Link`, `Kind`.
fn words(name: &str) -> Vec<&str> {
    let starts: Vec<_> = name.char_indices().filter(|(at, letter)| *at == 0 || letter.is_ascii_uppercase()).collect();
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([name.len()]);
    starts.iter().zip(ends).map(|((start, _), end)| &name[*start..end]).collect()
}

/// Alternatives that only one field tells apart are called by it.
fn entitle(document: &mut Value) {
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        for of in ["oneOf", "anyOf"] {
            for choice in schema.get_mut(of).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some([Value::String(only)]) = choice["required"].as_array().map(Vec::as_slice)
                    && choice["properties"].is_object()
                {
                    choice["title"] = format!("{name}{}", pascal(only)).into();
                }
            }
        }
    }
}

/// Answers that several operations give alike stand among the components, by their schema's name and their status.
fn share_answers(document: &mut Value) {
    let mut shared: BTreeMap<String, (Value, usize)> = BTreeMap::new();
    let name = |status: &str, answer: &Value| {
        let path = answer["content"]["application/json"]["schema"]["$ref"].as_str()?;
        Some(format!("{}{status}", path.strip_prefix(COMPONENTS)?))
    };
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let mut answers: Vec<(&String, &mut Value)> = paths
        .values_mut()
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
        .filter_map(|operation| operation["responses"].as_object_mut())
        .flatten()
        .collect();
    for (status, answer) in &answers {
        if let Some(name) = name(status, answer) {
            let (first, count) = shared.entry(name).or_insert_with(|| ((**answer).clone(), 0));
            *count += usize::from(*first == **answer);
        }
    }
    shared.retain(|_, (_, count)| *count > 1);
    for (status, answer) in &mut answers {
        if let Some(name) = name(status, answer)
            && shared.get(&name).is_some_and(|(first, _)| *first == **answer)
        {
            **answer = json!({ "$ref": format!("#/components/responses/{name}") });
        }
    }
    for (name, (answer, _)) in shared {
        document["components"]["responses"][name] = answer;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::schemas::refer, *};

    #[test]
    fn what_is_the_same_gets_a_name_that_says_what_it_is() {
        let name = |names: &[&str], schema: Value| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            common_name(&names.iter().collect::<Vec<_>>(), &schema)
        };
        let nothing = json!({});
        assert_eq!(name(&["TaskAssignMethod", "TicketAssignMethod"], nothing.clone()), "AssignMethod");
        assert_eq!(name(&["RuleRunCandidate", "RuleDryRunCandidate"], nothing.clone()), "RuleRunCandidate");
        assert_eq!(name(&["TeamAddMemberCommand", "TeamRemoveMemberCommand"], nothing.clone()), "TeamMemberCommand");
        assert_eq!(name(&["EnquiryKind", "PropertyKind"], nothing.clone()), "");
        assert_eq!(name(&["DealShareCommand", "LeadShareCommand"], nothing.clone()), "ShareCommand");
        let tag = json!({ "properties": { "tag": {} } });
        assert_eq!(name(&["DealTagCommand", "LeadUntagCommand"], tag), "TagBody");
        assert_eq!(name(&["CallMissCommand", "DealReopenCommand"], nothing), "EmptyBody");
    }

    #[test]
    fn alternatives_are_said_in_the_plainest_form() {
        let mut schema = json!({ "properties": {
            "status": { "description": "Where it stands.", "oneOf": [
                { "type": "string", "const": "open", "description": "Being\nworked on." },
                { "type": "string", "enum": ["closed", "merged"] },
            ] },
            "owner": { "anyOf": [
                { "anyOf": [refer("Id"), { "type": "null" }], "description": "Who has it.", "default": null },
                { "type": "null" },
            ] },
            "enum": { "patternProperties": { "^x": { "type": "string" } }, "additionalProperties": false },
        } });
        each(&mut schema, &mut tidy);
        let tidied = json!({ "properties": {
            "status": {
                "description": "Where it stands.\n\n- `open`: Being worked on.",
                "type": "string", "enum": ["open", "closed", "merged"],
            },
            "owner": { "anyOf": [refer("Id"), { "type": "null" }], "description": "Who has it." },
            "enum": { "propertyNames": { "pattern": "^x" }, "additionalProperties": { "type": "string" } },
        } });
        assert_eq!(schema, tidied);
    }
}
