/** Messages written one by one, not from the families: they show what templates miss. */
import type { Polarity } from '../record.ts';

export const WRITTEN: Record<Polarity, readonly string[]> = {
  worked: lines(`
    Yes, that's the behaviour I was after.
    ok that one passes on my side as well
    Merged, thanks for the quick turnaround.
    The numbers match the spreadsheet now
    Beautiful. I'm going to use this pattern in the other modules too.
    huh, didn't know you could do that. nice
    okay the spinner spins, moving to the footer
    Deployed to staging, no complaints so far
    that regex is spot on
    Finally! Been stuck on this since this morning
    good enough for the demo
    It's snappy now, 40ms instead of 900
    i'll take it
    The reviewer approved it without comments
    Cleaner than what I had. Keep.
    all 212 green, committing
    Great explanation, and the fix holds up
    You nailed the edge case with leap years
    cool, works offline too
    love the naming
    that's a neat trick with the sentinel
    yeah this reads well
    Thanks! Let's do the same for the admin panel
    👏 that was the missing piece
    Ran it three times in a row without a flake
    the customer confirmed it's resolved
    done deal. next topic: invoices
    ok ship
    Right, so caching is sorted. What about the rate limiter?
    perfect diff, small and to the point
    the layout is finally stable on mobile
    Looks like you solved it, the log is quiet
    happy with this
    sweet, the coverage went up as well
    i pushed your version
    Exactly the signature I had in mind
    and it even handles emoji. good stuff
    the linter stopped complaining
    approve
    you saved me an hour
    Alright that's in. Now the docs.
    build's green again, thank goodness
    nice catch on the off-by-one
    I can log in again
    fine by me
    ok good, keep the second variant
    Works in Safari as well, great
    this is precisely how the old system did it
    Good. Tag it 1.4 and write the changelog.
    it's perfect don't touch it anymore
    okay that makes the tests deterministic, great
    Memory is flat at 80 MB now.
    I had doubts but it does work
    clean, thanks
    Very readable. I'll copy that style.
    yes!! it renders
    top notch
    the import goes through now
    the query went from 3s to 20ms
    that'll do
    can confirm the crash is gone
    no complaints
    accepted, continue with the parser
    Awesome, and can you bump the version while at it
    You were right about the lock
    Neat. Please also add it to the index page.
    solved!
    Everything passes here. Closing.
    the dropdown opens now. on to the date field
    good result, I'd only call it done
    wonderful
    I'm impressed
    perfecto, thanks
    ok committed. next file please
    it's doing what it should
    Tests green, types green, I'm green
    👍 next
    The migration ran through on prod
    thx that compiles
    yup all good here
    the output is identical to the reference
    pretty good for a first try
    that's how it should be
    excellent, that covers it
    this version I like
    Great, I squashed and merged it
    I checked the edge cases, they hold
    no errors in the console any more, nice
    ok i see it in the table now :)
    the robot arm moves. incredible
    Thanks, exactly that. Could you now do the french translations?
    My boss loves it
    it's live
    whatever you did, it fixed the flicker
    good job with the tests
    accept all
    The endpoint answers with 200 now
    that removed the warning, thanks
    keep this one, drop the old
    looks correct, i compared it with the paper
    working as intended
  `),
  failed: lines(`
    The button moved but it's still grey
    why is there a second import of react
    You changed the signature, all the callers need the old one
    That function has been deprecated since 3.8
    I wanted it sorted descending
    it prints the header twice
    Please read the file before editing it
    this overwrites the user's settings on every start
    My logger prints timestamps already, yours prints them again
    the test passes only because you deleted the assertion
    I asked for a function, not a class
    you're returning before the file is closed
    hm the second column is shifted by one
    it compiles but the result is off by a factor of 1000
    Now the page loads forever
    That's the third time you suggest the same thing
    where did my comments go
    can't import it, circular dependency
    you swapped width and height
    not in this file, in the one next to it
    The endpoint returns 403 for admins since that edit
    I see a blank screen
    and the unit test?? I specifically asked for one
    that API does not exist in this version
    please restore the old behaviour
    the id should be a string like everywhere else in this codebase
    Let's not do that. Keep the loop.
    This still mutates the argument
    Doesn't build: missing semicolon in line 40
    zero results, there should be five
    we have a helper for this already, don't write another one
    your regex matches the empty string
    That's Java. I need Kotlin.
    I had to revert, the site was down
    same stack trace as before
    You edited the generated file. Edit the template.
    the screenshot shows the label cut in half
    no need for a try/except there
    that's python 2 syntax
    nothing in the log, so the handler isn't registered
    it works for one item but not for two
    Cannot read properties of null (reading 'style')
    psql says relation "orders" does not exist
    the mock is never called
    you can't await in a constructor
    I don't understand why you touched the CSS
    The tooltip is gone altogether
    it deleted my data
    only works in chrome
    The indentation is off
    That is a race condition waiting to happen
    you hallucinated that flag
    -1 test fails: expected 4, received 5
    please stop renaming my variables
    this isn't thread safe, as I said before
    the fix hides the problem instead of solving it
    Half the strings are still untranslated
    ran it, got a segfault
    No. The spec says inclusive.
    it should not throw, it should return None
    Port 3000 is taken, as I told you
    you dropped the license header
    nope same thing
    hmm it removed the wrong row
    the scroll position jumps
    seems you ignored the second half of my message
    I meant the other repository
    Rolled back. It took down the worker.
    that's slower than before, not faster
    not idiomatic at all
    memory keeps growing
    pls put the semicolons back
    this answer is outdated
    the numbers don't add up
    why are there two of them now
    i get a type error on line 8
    way off
    line 30 is unreachable now
    the date is one day early
    you can not use await there
    It asks for the password every time now
    the docker image does not start anymore
    I'd rather you didn't add a dependency for this
    that is a security hole, never build SQL like this
    You wrote to stdout, it must be stderr
    the checkbox can't be unchecked
    mixed tabs and spaces, look at the rest of the file
    unfinished: the else branch is empty
    wrong currency
    the closing tag is missing
    It hangs at 99%
    that would break every existing client
    Do not catch Exception, catch the specific one
    I said no comments.
    this duplicates code from utils
    the loop never ends
    now I have merge conflicts everywhere
    it ignores the flag
    I undid your edit, it was not what the ticket says
    actually it's worse than before
    the snippet you gave does not even parse
    command not found
    bad. try again
    still nope
    your code, my error: list index out of range
    the hook runs twice
    this is for the v1 API, we're on v2
    must be lowercase
    it picks the wrong branch when the list is empty
    the answer is 42, not 41
  `),
  neutral: lines(`
    Let me give you the error type: it's a plain enum with three values
    Could the parser be made incremental one day?
    Add a column "failed_at" to the jobs table
    what's the difference between a process and a thread
    For the next part we need a websocket endpoint
    generate ten random users for the fixtures
    Rename the exception class to ParseFailure
    I'd like a dark theme
    the input is a csv with a header line
    How would I write a test for a function that throws?
    translate the strings in de.json
    move the constants to their own file
    who calls this?
    Sort by date, newest first
    bump the minor version
    Write the commit message for the staged files
    is there an easier way to do a left join in pandas
    make the sidebar collapsible
    the user story: as a guest I can check out without an account
    put the retry count in the config
    summarize this file in two sentences
    convert this callback code to promises
    list all endpoints that need authentication
    draw the architecture as a mermaid diagram
    use a 12 column grid
    open the settings page when the gear is clicked
    pick a good name for this variable
    what are the tradeoffs
    I have a list of dicts and need to group by key
    add --verbose and --quiet
    give me three alternatives
    write docs for the public functions
    add an error page for 404
    what does "borrow of moved value" mean
    set up eslint with the recommended rules
    Create an undo button for the editor toolbar
    implement the redo stack
    Show a red banner if the upload fails
    which python version do we target?
    have the job log a warning when the disk is nearly full
    can you compute the checksum in chunks
    how many lines does it have
    This is the schema:
    Let's start with the models
    support reading from stdin
    I prefer short functions
    the tests are in tests/unit
    should we cache this?
    return 404 if the id is unknown
    extract the sql into a file
    how do I revert a commit in git?
    what is a good way to undo a migration
    add a rollback method to the transaction class
    take the list of broken links and write it to a file
    Add a spinner while loading
    what's the complexity of this
    next: a function to remove duplicates
    write a bash script that backs up the folder
    read the port from the environment
    wrap it in a docker container
    do we have a date helper somewhere
    make it configurable
    add tests
    document the wrong-password flow
    put both on one line
    the api key is in the vault
    group the errors by code and count them
    use the same colors as in the logo
    paginate the list, 20 a page
    Explain the failing case in the readme
    is this thread safe?
    describe what the script does
    how should I name the branch
    compare the two implementations
    add type annotations
    make a list of things that could go wrong
    show an example
    write a regex for email addresses
    i want to plot the results with matplotlib
    how do i run only one test
    can we support python 3.9
    write a unit test for the negative case
    add a health check
    what about windows paths?
    and for the update endpoint?
    insert a blank line before each section
    give the enum a Failed member
    the second parameter is optional
    look at utils.py, there is a similar function
    please wait until the request is finished before closing
    let's talk about the database first
    find all TODOs
    reduce the padding a bit
    make the title bold
    print a table with the totals
    go through the code and list unused exports
    prepare the release notes
    do it for all files in src
    first install the dependencies
    add a flag to skip the slow tests
    what is the default timeout
    add the same check to the server
    turn it into a cli
    which one is faster, a set or a list
    write "no results" when the list is empty
    count the words in the text that are not stop words
  `),
};

function lines(block: string): string[] {
  return block.split('\n').map((line) => line.trim()).filter((line) => line !== '');
}
