create table reading (
  station text not null,
  at text not null,
  celsius real not null
);

create index reading_by_station on reading (station);
