//! What a record of any kind is called, as a function of the database that follows from which lists there are.

use domain::kernel::listing::NAMELESS;

use crate::kernel::registry;

/// `read_name`, which names one record, for whoever refers to records of several kinds. The newest migration that has it has it like
/// this: a test says so, and writes one when a kind comes that has a name.
pub fn naming() -> String {
    let mut arms: Vec<(&str, String)> = registry::titles()
        .filter(|(kind, ..)| !NAMELESS.contains(kind))
        .map(|(kind, view, title)| (kind, format!("(select r.{title} from {view} r where {ITSELF})")))
        .collect();
    // These have no name of their own: a number stands for it, or whoever it is with.
    arms.push(("order", format!("(select '#' || r.number from read_orders r where {ITSELF})")));
    let with = "(\n            select coalesce(c.name, r.visitor->>'name') from read_conversations r\n            \
                left join read_contacts c on c.tenant_id = r.tenant_id and c.id = r.contact_id\n            where ";
    arms.push(("conversation", format!("{with}{ITSELF}\n        )")));
    arms.sort_unstable();
    let arms: String = arms.iter().map(|(kind, name)| format!("        when '{kind}' then {name}\n")).collect();
    format!(
        "create or replace function read_name(tenant text, kind text, id text) returns text\n\
         language sql stable parallel safe as $$\n    select case $2\n{arms}    end\n$$;\n"
    )
}

/// The row of the record that is asked for.
const ITSELF: &str = "r.tenant_id = $1 and r.id = $3";
