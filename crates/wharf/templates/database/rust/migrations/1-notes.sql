-- Applied once, before the app is served. What comes later is a file of its own: one that was applied must not change.
create table note (
  id integer primary key,
  text text not null
);
