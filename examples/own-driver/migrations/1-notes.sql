create table note (
  id bigint primary key,
  text text not null
);

insert into note select id, 'note ' || id from generate_series(1, 10000) as id;
