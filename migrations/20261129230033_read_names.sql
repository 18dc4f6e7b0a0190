-- What a record of any kind is called now, for whoever refers to records of several kinds: every kind that has names.
create or replace function read_name(tenant text, kind text, id text) returns text
language sql stable parallel safe as $$
    select case $2
        when 'api_key' then (select r.name from read_api_keys r where r.tenant_id = $1 and r.id = $3)
        when 'article' then (select r.name from read_articles r where r.tenant_id = $1 and r.id = $3)
        when 'article_category' then (select r.name from read_article_categories r where r.tenant_id = $1 and r.id = $3)
        when 'channel' then (select r.name from read_channels r where r.tenant_id = $1 and r.id = $3)
        when 'chatbot' then (select r.name from read_chatbots r where r.tenant_id = $1 and r.id = $3)
        when 'company' then (select r.name from read_companies r where r.tenant_id = $1 and r.id = $3)
        when 'contact' then (select r.name from read_contacts r where r.tenant_id = $1 and r.id = $3)
        when 'conversation' then (
            select coalesce(c.name, r.visitor->>'name') from read_conversations r
            left join read_contacts c on c.tenant_id = r.tenant_id and c.id = r.contact_id
            where r.tenant_id = $1 and r.id = $3
        )
        when 'dashboard' then (select r.name from read_dashboards r where r.tenant_id = $1 and r.id = $3)
        when 'deal' then (select r.name from read_deals r where r.tenant_id = $1 and r.id = $3)
        when 'enquiry' then (select r.name from read_enquiries r where r.tenant_id = $1 and r.id = $3)
        when 'form' then (select r.name from read_forms r where r.tenant_id = $1 and r.id = $3)
        when 'intake_source' then (select r.name from read_intake_sources r where r.tenant_id = $1 and r.id = $3)
        when 'label' then (select r.name from read_labels r where r.tenant_id = $1 and r.id = $3)
        when 'lead' then (select r.name from read_leads r where r.tenant_id = $1 and r.id = $3)
        when 'order' then (select '#' || r.number from read_orders r where r.tenant_id = $1 and r.id = $3)
        when 'product' then (select r.name from read_product_catalogue r where r.tenant_id = $1 and r.id = $3)
        when 'product_category' then (select r.name from read_product_categories r where r.tenant_id = $1 and r.id = $3)
        when 'project' then (select r.name from read_projects r where r.tenant_id = $1 and r.id = $3)
        when 'property' then (select r.name from read_properties r where r.tenant_id = $1 and r.id = $3)
        when 'quick_reply' then (select r.name from read_quick_replies r where r.tenant_id = $1 and r.id = $3)
        when 'report' then (select r.name from read_reports r where r.tenant_id = $1 and r.id = $3)
        when 'role' then (select r.name from read_roles r where r.tenant_id = $1 and r.id = $3)
        when 'rule' then (select r.name from read_rules r where r.tenant_id = $1 and r.id = $3)
        when 'task' then (select r.title from read_tasks r where r.tenant_id = $1 and r.id = $3)
        when 'team' then (select r.name from read_teams r where r.tenant_id = $1 and r.id = $3)
        when 'tenant' then (select r.name from read_tenants r where r.tenant_id = $1 and r.id = $3)
        when 'ticket' then (select r.title from read_ticket_list r where r.tenant_id = $1 and r.id = $3)
        when 'upload' then (select r.name from read_uploads r where r.tenant_id = $1 and r.id = $3)
        when 'user' then (select r.name from read_users r where r.tenant_id = $1 and r.id = $3)
        when 'view' then (select r.name from read_views r where r.tenant_id = $1 and r.id = $3)
    end
$$;
