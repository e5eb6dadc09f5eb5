"""One module a migration.

Servers of two neighbouring versions run beside each other during an upgrade. So a change is
made in two steps. A migration that expands (a new table, a new column that may be null)
has `serves_previous = True`: programs that know only the migration before go on. What no
program uses any more is taken away a version later, by a migration which says so too. One
that breaks what the version before still does has `serves_previous = False`, and is
refused while servers run.
"""
