"""People in a browser, in the same boxes as language models and scripted agents (`metarl-envs host`).

`room` knows who sits where, who is there, and what is asked; `server` shows it to browsers, by the messages of `messages`;
`session` plays the run. Nothing but `server` needs the extra `[host]`.
"""
