-- How far colleagues have been told of what concerns them: see commands/src/notifications.rs. Whoever reads the log anew from an earlier
-- position tells nobody of what is before this, though others may see it by now.
create table react_notification_place (
    single boolean primary key default true check (single),
    position bigint not null
);

insert into react_notification_place (position) values (0);

comment on table react_notification_place is 'How far colleagues have been told of what concerns them.';
