typedef int dm_nothing_here;
